// What stands before all CUDA sources here.  The host has other meanings for these names, which watch
// accesses: see the tests.

#ifndef ON_HOST
#define KERNEL(threads, blocks, name, ...) \
  extern "C" __global__ void __launch_bounds__(threads, blocks) name(__VA_ARGS__)
#define GLOBAL(type) type* __restrict__
#define SHARED(type, name, n) __shared__ type name[n]
#define DYNAMIC(type, name) extern __shared__ type name[]
#define READ(array, index) __ldg((array) + (index))
// Hides how a pointer was made: the compiler would else choose between offsets instead of pointers,
// for each sample ahead of all steps, and run out of registers.
#define OPAQUE(pointer) asm volatile("" : "+l"(pointer))
#endif

typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;
