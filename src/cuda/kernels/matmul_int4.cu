#include "cuda/kernels/matmul_formats.cuh"

namespace dms::cuda {

template cudaError_t launch_product<MatrixFormat::int4>(const MatmulParams& params,
                                                        const ProductChoice& choice,
                                                        cudaStream_t stream);
template cudaError_t prepare_products<MatrixFormat::int4>();

}  // namespace dms::cuda
