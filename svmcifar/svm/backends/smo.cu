// Sequential minimal optimisation of many binary SVMs at once, one thread block a pair of classes.
//
// The variables, the selection of the working set, the stopping rule and the precision of a score
// are those of smo_numba.py, where they are explained.  Thread t of T works on the samples t,
// t + T, ... of its pair, so that a warp reads neighbouring entries of a kernel row.  All samples
// are sorted by class: a row of a pair's kernel matrix is two runs of a row of K.
//
// A step has three barriers:
//
//   (1) of the choice of j: all threads have read what was chosen last before it is replaced, and
//       all coefficients of the step before are written before they are read.
//   (2) the vote on going on: v[j] is there for all, and beta[i] and beta[j] have been read by all
//       before their owners write them.
//   (3) of the choice of the next i: all threads have read the places of the choice of j.
//
// Both choices and the vote are the same in all threads, and all compute the step from the same
// values, so no barrier is under a condition on which threads differ.  Choices depend on values and
// sample numbers alone, and sums are taken in an order of their own: the result is the same to the
// bit for all kernels here and whatever T is.

constexpr u32 WARP = 32, ALL = 0xffffffffu;

// Of a pair: the samples of each class, the first of each, the first in the arrays of pairs, its
// number, the steps to stop at.
enum Column { N_A, N_B, START_A, START_B, FIRST, NUMBER, MOST_STEPS, COLUMNS };
// Of its results.
enum Result { INTERCEPT, OBJECTIVE, GAP, RESULTS };

// Integers in the order of floating-point numbers, all of which but NaN are above 0.
__device__ u32 ordered(float x) {
  u32 bits = __float_as_uint(x);
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}
__device__ u64 ordered(double x) {
  u64 bits = (u64)__double_as_longlong(x);
  return bits >> 63 ? ~bits : bits | 0x8000000000000000ull;
}
__device__ double unordered(u64 key) {
  return __longlong_as_double((i64)(key >> 63 ? key & 0x7fffffffffffffffull : ~key));
}

__device__ u32 warp_max(u32 x) {
#if __CUDA_ARCH__ >= 800
  return __reduce_max_sync(ALL, x);
#else
  for (int distance = 16; distance; distance /= 2) {
    u32 other = __shfl_xor_sync(ALL, x, distance);
    x = other > x ? other : x;
  }
  return x;
#endif
}
__device__ u64 warp_max(u64 x) {
  u32 high = (u32)(x >> 32), top = warp_max(high);
  return (u64)top << 32 | warp_max(high == top ? (u32)x : 0u);
}

// The largest key and its index, the lowest one if there are several.
template <class Key>
struct Best {
  Key key;
  int index;

  __device__ void of_warp() {
    Key top = warp_max(key);
    index = (int)~warp_max(key == top ? ~(u32)index : 0u);
    key = top;
  }
};

// Give the best of all threads to all; `keys` and `indices` have a place for each warp, and may be
// used again behind the barrier after the next one.
template <int T, class Key, class Keys, class Indices>
__device__ Best<Key> best_of_block(Key key, int index, Keys keys, Indices indices) {
  Best<Key> best{key, index};
  best.of_warp();
  int lane = threadIdx.x % WARP;
  if (lane == 0) {
    keys[threadIdx.x / WARP] = best.key;
    indices[threadIdx.x / WARP] = best.index;
  }
  __syncthreads();
  best.key = 0;
  if (lane < T / WARP) {
    best.key = keys[lane];
    best.index = indices[lane];
  }
  best.of_warp();
  return best;
}

// A pair's part of the arrays.
template <class Value>
struct Pair {
  GLOBAL(const Value) K;          // (width, width), of all samples
  GLOBAL(const double) upper;     // of all samples
  GLOBAL(const double) diagonal;  // of K; not used if that is 1
  GLOBAL(double) beta;
  GLOBAL(double) v;
  int width, n_a, n, before_a, before_b;
  i64 most_steps;

  // Which of all samples p is.
  __device__ int sample(int p) const { return p + (p < n_a ? before_a : before_b); }
  // Row p of K.
  __device__ auto row(int p) const { return K + (i64)sample(p) * width; }
  // The bounds of coefficient p.
  __device__ void box(int p, double& low, double& high) const {
    double bound = upper[sample(p)];
    low = p < n_a ? 0.0 : -bound;
    high = p < n_a ? bound : 0.0;
  }
};

// Where a thread keeps its samples' part of the gradient, v, which coefficients may rise and fall,
// and row i; k counts its samples p.  The first of them has a place for each in registers.
template <int T, int N>
struct InRegisters {
  static constexpr int PLACES = N;
  static constexpr bool KEEPS_ROW = true;
  double v[N];
  float row[N];
  u32 rise, fall;

  __device__ InRegisters(const Pair<float>&) : rise(0), fall(0) {}
  __device__ double get(int k, int) const { return v[k]; }
  __device__ void set(int k, int, double x) { v[k] = x; }
  template <class Place>
  __device__ void tell(int p, Place place) const {
    // Were k compared with p / T, the compiler would take v[p / T], for which v is put in memory.
#pragma unroll
    for (int k = 0; k < N; ++k)
      if (threadIdx.x + k * T == p) place[0] = v[k];
  }
  __device__ bool may_rise(int k, int) const { return rise & 1u << k; }
  __device__ bool may_fall(int k, int) const { return fall & 1u << k; }
  __device__ void flag(int p, bool up, bool down) {
    u32 bit = 1u << p / T;
    rise = up ? rise | bit : rise & ~bit;
    fall = down ? fall | bit : fall & ~bit;
  }
};

// v in shared memory, for 32 samples a thread at most.
template <int T>
struct InShared : InRegisters<T, 1> {
  static constexpr int PLACES = 0;
  static constexpr bool KEEPS_ROW = false;
  template <class Value>
  __device__ InShared(const Pair<Value>& pair) : InRegisters<T, 1>(Pair<float>{}) {}
  __device__ double get(int, int p) const {
    DYNAMIC(double, dynamic);
    return dynamic[p];
  }
  __device__ void set(int, int p, double x) {
    DYNAMIC(double, dynamic);
    dynamic[p] = x;
  }
  template <class Place>
  __device__ void tell(int p, Place place) const {
    place[0] = get(0, p);
  }
};

// v in global memory; what may rise and fall is seen from the coefficients.
template <int T, class Value>
struct InGlobal {
  static constexpr int PLACES = 0;
  static constexpr bool KEEPS_ROW = false;
  const Pair<Value>& pair;

  __device__ InGlobal(const Pair<Value>& pair) : pair(pair) {}
  __device__ double get(int, int p) const { return pair.v[p]; }
  __device__ void set(int, int p, double x) { pair.v[p] = x; }
  template <class Place>
  __device__ void tell(int p, Place place) const {
    place[0] = pair.v[p];
  }
  __device__ bool may_rise(int, int p) const {
    double low, high;
    pair.box(p, low, high);
    return pair.beta[p] < high;
  }
  __device__ bool may_fall(int, int p) const {
    double low, high;
    pair.box(p, low, high);
    return pair.beta[p] > low;
  }
  __device__ void flag(int, bool, bool) {}
};

// A thread's samples, by number k.  Where they have places of their own the loop is unrolled, goes
// over all places, and has no branches: IS_THERE tells which are in use.  Comparisons are of k, so
// that no sample's own number needs to be kept.
#define EACH_SAMPLE(k) \
  _Pragma("unroll") for (int k = 0; k < (State::PLACES ? State::PLACES : n_places); ++k)
#define IS_THERE(k) (!State::PLACES || k < n_places)

// What a choice of j weighs, from its violation if it may fall: in float32 for kernels whose diagonal
// is 1.
__device__ float score_of(double violation, bool may_fall, float K_ip, double, double) {
  float more = may_fall ? fmaxf((float)violation, 0.0f) : 0.0f;
  return __fdividef(more * more, fmaxf(2.0f - 2.0f * K_ip, (float)TAU));
}
__device__ double score_of(double violation, bool may_fall, double K_ip, double K_ii, double K_pp) {
  double more = may_fall ? fmax(violation, 0.0) : 0.0, bend = K_ii + K_pp - 2.0 * K_ip;
  return more * more / (bend > 0.0 ? bend : TAU);
}

// Solve a pair from where its coefficients are, up to its number of steps.
template <int T, class State, class Value>
__device__ void solve(const Pair<Value>& pair, double tol, GLOBAL(i64) n_iter, GLOBAL(double) result) {
  constexpr bool HAS_DIAGONAL = sizeof(Value) == sizeof(double);
  typedef decltype(ordered(Value())) Key;
  SHARED(Key, score_keys, T / WARP);
  SHARED(int, score_indices, T / WARP);
  SHARED(u64, v_keys, T / WARP);
  SHARED(int, v_indices, T / WARP);
  SHARED(double, shared_v_j, 1);
  const int t = threadIdx.x, n_a = pair.n_a, n = pair.n;
  const int n_places = (n + T - 1 - t) / T, n_of_a = (n_a + T - 1 - t) / T;
  State state(pair);

  i64 steps = n_iter[0];
  double top = -BARRED;
  int i = 0;
  EACH_SAMPLE(k) {
    const int p = t + k * T;
    double v = k < n_of_a ? 1.0 : -1.0;
    if (IS_THERE(k)) {
      double low, high, beta = pair.beta[p];
      if (steps) v = (pair.v + t)[k * T];
      pair.box(p, low, high);
      state.flag(p, beta < high, beta > low);
      if (beta < high && v > top) top = v, i = k;
    }
    state.set(k, p, v);
  }
  Best<u64> rising = best_of_block<T>(ordered(top), t + i * T, v_keys, v_indices);

  while (true) {
    top = unordered(rising.key), i = rising.index;
    // Row i of class a and of class b from this thread's first sample on: others are at constants.
    auto i_a = pair.row(i) + (pair.before_a + t), i_b = pair.row(i) + (pair.before_b + t);
    OPAQUE(i_b);
    double K_ii = HAS_DIAGONAL ? (double)pair.diagonal[pair.sample(i)] : 1.0;
    if constexpr (State::KEEPS_ROW) {  // loads back to back, before what uses them
      EACH_SAMPLE(k) state.row[k] = IS_THERE(k) ? READ(k < n_of_a ? i_a : i_b, k * T) : 0.0f;
    }
    Value best = 0;  // if it stays so for all, j is 0, and the last one
    int j = 0;
    bool is_above = false;  // whether the gap is above tol for one of this thread's samples
    EACH_SAMPLE(k) {
      const int p = t + k * T;
      Value K_ip;
      if constexpr (State::KEEPS_ROW)
        K_ip = state.row[k];
      else
        K_ip = READ(k < n_of_a ? i_a : i_b, k * T);
      double violation = top - state.get(k, p);
      bool may_fall = state.may_fall(k, p);
      is_above |= may_fall && violation > tol;
      double K_pp = HAS_DIAGONAL ? (double)pair.diagonal[pair.sample(p)] : 1.0;
      Value score = score_of(violation, may_fall, K_ip, K_ii, K_pp);
      if (score > best) best = score, j = k;
    }
    j = best_of_block<T>(ordered(best), t + j * T, score_keys, score_indices).index;  // barrier (1)

    if (t == j % T) state.tell(j, shared_v_j);
    double low_i, high_i, low_j, high_j, beta_i = pair.beta[i], beta_j = pair.beta[j];
    pair.box(i, low_i, high_i);
    pair.box(j, low_j, high_j);
    double K_ij = READ(j < n_a ? i_a : i_b, j - t);
    int goes_on = __syncthreads_or(is_above);  // barrier (2)
    if (!goes_on || steps == pair.most_steps) break;
    ++steps;
    double bend;
    if constexpr (HAS_DIAGONAL) {
      bend = K_ii + pair.diagonal[pair.sample(j)] - 2.0 * K_ij;
      bend = bend > 0.0 ? bend : TAU;
    } else {
      bend = fmax(2.0 - 2.0 * K_ij, TAU);
    }
    double room_i = high_i - beta_i, room_j = beta_j - low_j;
    double step = fmin(fmin((top - shared_v_j[0]) / bend, room_i), room_j);
    // A bound is hit exactly, so that the index sets need no tolerance.
    beta_i = step == room_i ? high_i : beta_i + step;
    beta_j = step == room_j ? low_j : beta_j - step;
    if (t == i % T) {
      pair.beta[i] = beta_i;
      state.flag(i, beta_i < high_i, beta_i > low_i);
    }
    if (t == j % T) {
      pair.beta[j] = beta_j;
      state.flag(j, beta_j < high_j, beta_j > low_j);
    }

    auto j_a = pair.row(j) + (pair.before_a + t), j_b = pair.row(j) + (pair.before_b + t);
    OPAQUE(j_b);
    top = -BARRED, i = 0;
    EACH_SAMPLE(k) {
      const int p = t + k * T;
      double K_ip, K_jp = IS_THERE(k) ? (double)READ(k < n_of_a ? j_a : j_b, k * T) : 0.0;
      if constexpr (State::KEEPS_ROW)
        K_ip = state.row[k];
      else
        K_ip = READ(k < n_of_a ? i_a : i_b, k * T);
      double v = state.get(k, p) - step * (K_ip - K_jp);
      state.set(k, p, v);
      if (state.may_rise(k, p) && v > top) top = v, i = k;
    }
    rising = best_of_block<T>(ordered(top), t + i * T, v_keys, v_indices);  // barrier (3)
  }

  // For the next launch, and for what follows.
  EACH_SAMPLE(k) if (IS_THERE(k)) (pair.v + t)[k * T] = state.get(k, t + k * T);
  __syncthreads();  // barrier (4)
  // Each lane of the first warp sums samples, whatever T is; then they are summed in order.
  SHARED(double, sums, 4 * WARP);
  if (t < WARP) {
    double loss = 0.0, level = 0.0, n_free = 0.0, bottom = BARRED;
    for (int p = t; p < n; p += WARP) {
      double low, high, beta = pair.beta[p], v = pair.v[p];
      pair.box(p, low, high);
      loss += beta * v + fabs(beta);
      if (beta > low) {
        bottom = fmin(bottom, v);
        if (beta < high) level += v, n_free += 1.0;
      }
    }
    sums[t] = loss;
    sums[WARP + t] = level;
    sums[2 * WARP + t] = n_free;
    sums[3 * WARP + t] = bottom;
  }
  __syncthreads();  // barrier (5)
  if (t == 0) {
    double loss = 0.0, level = 0.0, n_free = 0.0, bottom = BARRED;
    for (int lane = 0; lane < WARP; ++lane) {
      loss += sums[lane];
      level += sums[WARP + lane];
      n_free += sums[2 * WARP + lane];
      bottom = fmin(bottom, sums[3 * WARP + lane]);
    }
    n_iter[0] = steps;
    result[INTERCEPT] = n_free > 0.0 ? level / n_free : (top + bottom) / 2.0;
    result[OBJECTIVE] = -0.5 * loss;
    result[GAP] = fmax(top - bottom, 0.0);
  }
}

template <int T, class State, class Value>
__device__ void solve_block(
    GLOBAL(const Value) K, int width, GLOBAL(const double) upper, GLOBAL(const double) diagonal,
    GLOBAL(const i64) table, double tol, GLOBAL(double) beta, GLOBAL(double) v, GLOBAL(i64) n_iter,
    GLOBAL(double) results) {
  auto row = table + COLUMNS * (i64)blockIdx.x;
  const i64 first = row[FIRST], number = row[NUMBER];
  const int n_a = (int)row[N_A];
  Pair<Value> pair{K, upper, diagonal, beta + first, v + first, width,
                   n_a, n_a + (int)row[N_B], (int)row[START_A], (int)row[START_B] - n_a,
                   row[MOST_STEPS]};
  solve<T, State>(pair, tol, n_iter + number, results + RESULTS * number);
}

#define SMO(name, T, blocks, State, Value)                                                       \
  KERNEL(T, blocks, name, GLOBAL(const Value) K, int width, GLOBAL(const double) upper,          \
         GLOBAL(const double) diagonal, GLOBAL(const i64) table, double tol, GLOBAL(double) beta, \
         GLOBAL(double) v, GLOBAL(i64) n_iter, GLOBAL(double) results) {                         \
    solve_block<T, State, Value>(K, width, upper, diagonal, table, tol, beta, v, n_iter, results); \
  }

// Kernel matrices with a diagonal of ones, in float32, for up to so many samples in registers.
typedef InRegisters<64, 16> In1024;
typedef InRegisters<192, 27> In5184;
typedef InRegisters<384, 27> In10368;
typedef InGlobal<768, float> InGlobalFloat;
SMO(smo_1024, 64, 8, In1024, float)
SMO(smo_5184, 192, 2, In5184, float)
SMO(smo_10368, 384, 1, In10368, float)
SMO(smo_shared, 768, 1, InShared<768>, float)
SMO(smo_global, 768, 1, InGlobalFloat, float)
// Others, in float64.
typedef InGlobal<512, double> InGlobalDouble;
SMO(smo_any_shared, 512, 1, InShared<512>, double)
SMO(smo_any_global, 512, 1, InGlobalDouble, double)
