// What CUDA code uses, for the host: a block's threads take turns, and accesses are watched.
//
// The threads of a block are fibres.  Each runs up to its next barrier or warp-wide function; the
// order in which they run is drawn anew each time from a seed.  Between two barriers no thread may
// touch what another one writes, in shared or in global memory, and no block what another block
// writes: this is an error, as are indices out of range, and threads that wait at different places.
// Memory that has not been written holds NaN, or numbers as bad.
#pragma once
#include <algorithm>
#include <csetjmp>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <random>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <ucontext.h>
#include <utility>
#include <vector>

#define ON_HOST
#define __device__
#define GLOBAL(type) host::Array<type>
#define SHARED(type, name, n) auto name = host::shared<type>(__LINE__, n)
#define DYNAMIC(type, name) auto name = host::shared<type>(0, host::launch->shared_bytes / sizeof(type))
#define READ(array, index) ((array)[index])
#define OPAQUE(pointer)
#define KERNEL(threads, blocks, name, ...)                                                     \
  static void name##_thread(__VA_ARGS__);                                              \
  extern "C" int name(host::Launch* l) { return host::run(name##_thread, threads, l); } \
  static void name##_thread(__VA_ARGS__)

namespace host {

struct Argument {
  void* data;
  int64_t n_bytes;
};

// As `Launch` of cuda_on_host.py.
struct Launch {
  int32_t grid[2], block[2];
  int64_t shared_bytes;
  Argument* arguments;
  int32_t n_arguments;
  int32_t merged_line;  // a barrier that keeps no accesses apart; 0 for none
  uint64_t seed;
  char error[400];
};

struct Index {
  int x, y;
};

enum Wait { READY, BARRIER, WARP_MAX, SHUFFLE, DONE };

struct Fibre {
  jmp_buf at;
  Index thread;
  Wait wait;
  int line;
  uint32_t value, argument;  // of a barrier or a warp-wide function, and what it gives back
};

inline Launch* launch;
inline Index block_index;
inline Fibre* fibres;
inline Fibre* current;
inline int n_threads;
inline jmp_buf scheduler;
inline int64_t interval;  // of the launch: never the same in two blocks
inline int64_t block_number;
inline void (*thread_body)();

// Who touched an element last, and when.
struct Touched {
  int64_t written = -1, read = -1, block = -1;
  int writer = 0, reader = 0;  // -1 for several
};

struct Memory {
  char* data;
  int64_t n_bytes;
  std::vector<Touched> touched;  // empty if it is never written
};

[[noreturn]] inline void fail(const std::string& why) { throw std::runtime_error(why); }

inline void touch(Memory& memory, int64_t index, bool writes) {
  if (memory.touched.empty()) return;
  Touched& seen = memory.touched[index];
  int t = int(current - fibres);
  if (seen.block >= 0 && seen.block != block_number) fail("race: two blocks touch one place");
  if (seen.written == interval && seen.writer != t)
    fail("race: thread " + std::to_string(t) + " touches what " + std::to_string(seen.writer) +
         " writes");
  if (writes) {
    if (seen.read == interval && seen.reader != t)
      fail("race: thread " + std::to_string(t) + " writes what others read");
    seen.written = interval;
    seen.writer = t;
    seen.block = block_number;
  } else {
    seen.reader = seen.read == interval && seen.reader != t ? -1 : t;
    seen.read = interval;
  }
}

template <class T>
struct Array {
  Memory* memory = nullptr;
  int64_t first = 0;

  struct Element {
    Memory* memory;
    int64_t index;
    operator T() const {
      touch(*memory, index, false);
      return ((T*)memory->data)[index];
    }
    void operator=(T value) const {
      touch(*memory, index, true);
      ((T*)memory->data)[index] = value;
    }
    void operator=(const Element& other) const { *this = T(other); }
  };

  auto operator[](int64_t i) const {
    int64_t index = first + i;
    if (!memory || index < 0 || index >= memory->n_bytes / int64_t(sizeof(T)))
      fail("an index is out of range: " + std::to_string(index));
    if constexpr (std::is_const_v<T>)
      return std::remove_const_t<T>(((T*)memory->data)[index]);
    else
      return Element{memory, index};
  }
  Array operator+(int64_t i) const { return {memory, first + i}; }
};

inline std::map<int, std::pair<std::vector<char>, Memory>> shared_memory;  // of the block, by line

template <class T>
Array<T> shared(int line, int64_t n) {
  auto& [bytes, memory] = shared_memory[line];
  if (memory.data == nullptr) {
    bytes.assign(n * sizeof(T), char(0xff));
    memory.data = bytes.data();
    memory.n_bytes = n * sizeof(T);
    memory.touched.resize(n);
  }
  return {&memory, 0};
}

// Let the others run until what this thread waits for has happened.
inline uint32_t wait(Wait what, int line, uint32_t value, uint32_t argument = 0) {
  current->wait = what;
  current->line = line;
  current->value = value;
  current->argument = argument;
  if (!_setjmp(current->at)) _longjmp(scheduler, 1);
  return current->value;
}

inline std::string error_of_thread;

inline void enter() {
  try {
    thread_body();
  } catch (const std::exception& error) {
    error_of_thread = error.what();
  }
  current->wait = DONE;
  _longjmp(scheduler, 1);
}

inline void check_places(Fibre* first, int n, const char* where) {
  for (int t = 0; t < n; ++t)
    if (first[t].wait != first[0].wait || first[t].line != first[0].line)
      fail(std::string("threads of a ") + where + " wait at different places: lines " +
           std::to_string(first[0].line) + " and " + std::to_string(first[t].line));
}

// Do what the threads of a warp wait for, if it is the warp's.
inline void serve_warp(Fibre* lanes) {
  if (lanes[0].wait != WARP_MAX && lanes[0].wait != SHUFFLE) return;
  check_places(lanes, 32, "warp");
  uint32_t values[32], largest = 0;
  for (int lane = 0; lane < 32; ++lane) {
    values[lane] = lanes[lane].value;
    largest = std::max(largest, values[lane]);
  }
  for (int lane = 0; lane < 32; ++lane) {
    lanes[lane].value = lanes[lane].wait == WARP_MAX ? largest : values[lane ^ lanes[lane].argument];
    lanes[lane].wait = READY;
  }
}

inline void serve_barrier() {
  uint32_t any = 0;
  for (int t = 0; t < n_threads; ++t) any |= fibres[t].value;
  if (fibres[0].line != launch->merged_line) ++interval;
  for (int t = 0; t < n_threads; ++t) {
    fibres[t].value = any;
    fibres[t].wait = READY;
  }
}

inline void run_block(std::mt19937_64& rng) {
  constexpr size_t STACK = 1 << 16;
  static std::vector<std::vector<char>> stacks;
  static ucontext_t start[1024], back;
  std::vector<Fibre> own(n_threads);
  std::vector<int> order(n_threads);
  fibres = own.data();
  shared_memory.clear();
  for (int t = 0; t < n_threads; ++t) {
    if (int(stacks.size()) <= t) stacks.emplace_back(STACK);
    own[t].thread = {t % launch->block[0], t / launch->block[0]};
    own[t].wait = READY;
    own[t].line = -1;  // it has not begun
    getcontext(&start[t]);
    start[t].uc_stack.ss_sp = stacks[t].data();
    start[t].uc_stack.ss_size = STACK;
    start[t].uc_link = nullptr;
    makecontext(&start[t], enter, 0);
    order[t] = t;
  }
  while (true) {
    // Forward, backward, or in an order of chance.
    auto kind = rng() % 3;
    if (kind == 1) std::shuffle(order.begin(), order.end(), rng);
    else std::sort(order.begin(), order.end());
    if (kind == 2) std::reverse(order.begin(), order.end());
    bool ran = false;
    for (int t : order) {
      if (own[t].wait != READY) continue;
      ran = true;
      current = &own[t];
      if (!_setjmp(scheduler)) {
        if (own[t].line < 0) swapcontext(&back, &start[t]);
        else _longjmp(own[t].at, 1);
      }
      if (!error_of_thread.empty()) fail(error_of_thread);
    }
    if (!ran) {
      if (own[0].wait == DONE) {
        for (auto& fibre : own)
          if (fibre.wait != DONE) fail("some threads wait and others have ended");
        return;
      }
      check_places(own.data(), n_threads, "block");
      serve_barrier();
      continue;
    }
    for (int t = 0; t + 32 <= n_threads; t += 32) serve_warp(own.data() + t);
  }
}

template <class P>
struct Convert {
  static P from(const Argument& argument, std::vector<Memory>&) {
    P value;
    if (argument.n_bytes != sizeof(P)) fail("an argument has another size");
    std::memcpy(&value, argument.data, sizeof(P));
    return value;
  }
};
template <class T>
struct Convert<Array<T>> {
  static Array<T> from(const Argument& argument, std::vector<Memory>& memories) {
    if (argument.n_bytes < 0) return {};
    memories.push_back({(char*)argument.data, argument.n_bytes, {}});
    if (!std::is_const_v<T>) memories.back().touched.resize(argument.n_bytes / sizeof(T));
    return {&memories.back(), 0};
  }
};

template <class... P, size_t... I>
void start_threads(void (*kernel)(P...), std::index_sequence<I...>) {
  static std::vector<Memory> memories;
  memories.clear();
  memories.reserve(sizeof...(P));
  static std::tuple<P...>* arguments;
  std::tuple<P...> converted{Convert<P>::from(launch->arguments[I], memories)...};
  arguments = &converted;
  static void (*body)(P...);
  body = kernel;
  thread_body = [] { std::apply(body, *arguments); };
  std::mt19937_64 rng(launch->seed);
  for (int y = 0; y < launch->grid[1]; ++y)
    for (int x = 0; x < launch->grid[0]; ++x) {
      block_index = {x, y};
      ++block_number;
      ++interval;
      run_block(rng);
    }
}

template <class... P>
int run(void (*kernel)(P...), int most_threads, Launch* l) {
  launch = l;
  n_threads = l->block[0] * l->block[1];
  error_of_thread.clear();
  try {
    if (n_threads > most_threads) fail("a block has more threads than its launch bound");
    if (l->n_arguments != int(sizeof...(P))) fail("a kernel got another number of arguments");
    start_threads(kernel, std::index_sequence_for<P...>{});
  } catch (const std::exception& error) {
    std::snprintf(l->error, sizeof l->error, "%s", error.what());
    return 1;
  }
  return 0;
}

}  // namespace host

#define threadIdx (host::current->thread)
#define blockIdx (host::block_index)
#define blockDim (host::Index{host::launch->block[0], host::launch->block[1]})
#define __syncthreads() host::wait(host::BARRIER, __LINE__, 0)
#define __syncthreads_or(vote) int(host::wait(host::BARRIER, __LINE__, (vote) ? 1 : 0))
#define __reduce_max_sync(mask, x) host::wait(host::WARP_MAX, __LINE__, x)
#define __shfl_xor_sync(mask, x, distance) host::wait(host::SHUFFLE, __LINE__, x, distance)
#define __fdividef(a, b) ((a) / (b))

using std::exp;
using std::fabs;
using std::fmax;
using std::fmin;

template <class To, class From>
inline To host_bits(From x) {
  static_assert(sizeof(To) == sizeof(From));
  To bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}
#define __float_as_uint(x) host_bits<uint32_t>(x)
#define __double_as_longlong(x) host_bits<long long>(x)
#define __longlong_as_double(x) host_bits<double>(x)
