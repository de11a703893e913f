// The classes of faiss whose files are recognised but not read.
#include "faiss_format/faiss_format.h"

namespace shortlist::faiss_format {
namespace {

struct Class {
  std::string_view fourcc, name;
};

constexpr Class kClasses[] = {
    {"IxFP", "IndexFlatPanorama"},
    {"IxFp", "IndexFlatPanorama"},
    {"IxHE", "IndexLSH"},
    {"IxPQ", "IndexPQ"},
    {"IxPo", "IndexPQ"},
    {"IxRQ", "IndexResidualQuantizer"},
    {"IxRq", "IndexResidualQuantizer"},
    {"IxLS", "IndexLocalSearchQuantizer"},
    {"IxPR", "IndexProductResidualQuantizer"},
    {"IxPL", "IndexProductLocalSearchQuantizer"},
    {"ImRQ", "ResidualCoarseQuantizer"},
    {"IxLa", "IndexLattice"},
    {"Ix2L", "Index2Layer"},
    {"IxRP", "IndexRefinePanorama"},
    {"IRMf", "IndexRowwiseMinMax"},
    {"IRMh", "IndexRowwiseMinMaxFP16"},
    {"IvFl", "IndexIVFFlat"},
    {"IvFL", "IndexIVFFlat"},
    {"IwFd", "IndexIVFFlatDedup"},
    {"IwPn", "IndexIVFFlatPanorama"},
    {"IwP2", "IndexIVFFlatPanorama"},
    {"IvSQ", "IndexIVFScalarQuantizer"},
    {"IwSQ", "IndexIVFScalarQuantizer"},
    {"IwSh", "IndexIVFSpectralHash"},
    {"IvPQ", "IndexIVFPQ"},
    {"IvQR", "IndexIVFPQR"},
    {"IwIQ", "IndexIVFIndependentQuantizer"},
    {"IwLS", "IndexIVFLocalSearchQuantizer"},
    {"IwRQ", "IndexIVFResidualQuantizer"},
    {"IwPL", "IndexIVFProductLocalSearchQuantizer"},
    {"IwPR", "IndexIVFProductResidualQuantizer"},
    {"IHN2", "IndexHNSW2Level"},
    {"IHNc", "IndexHNSWCagra"},
    {"IHc2", "IndexHNSWCagra"},
    {"IHfP", "IndexHNSWFlatPanorama"},
    {"INSf", "IndexNSGFlat"},
    {"INSp", "IndexNSGPQ"},
    {"INSs", "IndexNSGSQ"},
    {"INNf", "IndexNNDescentFlat"},
    {"Iwrf", "IndexIVFRaBitQFastScan"},
    {"IBFf", "IndexBinaryFromFloat"},
    {"IBHc", "IndexBinaryHNSWCagra"},
    {"IBHh", "IndexBinaryHash"},
    {"IBHm", "IndexBinaryMultiHash"},
    {"LTra", "LinearTransform"},
    {"rrot", "RandomRotationMatrix"},
    {"Pcam", "PCAMatrix"},
    {"PcAm", "PCAMatrix"},
    {"PCAm", "PCAMatrix"},
    {"HRot", "HadamardRotation"},
    {"RmDT", "RemapDimensionsTransform"},
    {"VNrm", "NormalizationTransform"},
    {"VCnt", "CenteringTransform"},
    {"Viqm", "ITQMatrix"},
    {"Viqt", "ITQTransform"},
};

}  // namespace

std::string_view class_of(uint32_t wanted) {
  for (const Class& c : kClasses)
    if (fourcc(c.fourcc) == wanted) return c.name;
  return {};
}

}  // namespace shortlist::faiss_format
