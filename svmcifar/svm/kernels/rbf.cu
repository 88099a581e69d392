// RBF values: one pass from the inner products of a block, (n_rows, n_columns), to the kernel matrix of
// all n samples, (n, n), and its mirror image.  The formula of rbf.py.

template <class Value>
__device__ void write_mirrored(
    GLOBAL(const Value) products, GLOBAL(const Value) sq_norms, Value gamma, int n_rows,
    int n_columns, int first_row, int first_column, int n, GLOBAL(float) K) {
  const int r = blockIdx.y * blockDim.y + threadIdx.y, c = blockIdx.x * blockDim.x + threadIdx.x;
  const int i = first_row + r, j = first_column + c;
  // A block on the diagonal holds both images: the upper one wins, so that they are equal.
  if (r >= n_rows || c >= n_columns || i > j) return;
  const Value product = products[(i64)r * n_columns + c];
  const Value sq_distance = sq_norms[i] + sq_norms[j] - product - product;
  const bool apart = i < j && sq_distance > 0;
  const float value = apart ? (float)exp(-gamma * sq_distance) : 1.0f;
  K[(i64)i * n + j] = value;
  K[(i64)j * n + i] = value;
}

#define RBF(name, Value)                                                                         \
  KERNEL(256, 1, name, GLOBAL(const Value) products, GLOBAL(const Value) sq_norms, Value gamma,  \
         int n_rows, int n_columns, int first_row, int first_column, int n, GLOBAL(float) K) {   \
    write_mirrored<Value>(products, sq_norms, gamma, n_rows, n_columns, first_row, first_column, \
                          n, K);                                                                 \
  }

RBF(rbf_float32, float)
RBF(rbf_float64, double)
