/* What the CUDA plugin offers: a table of functions behind one symbol, in C, so that a plugin and a
 * shortlist that were built apart fit together or say that they do not.
 *
 * Functions that take `why` return a ShortlistCudaResult and, where that is not 0, writes why to
 * `why`, of `room` bytes. Pointers are of the device unless a comment says otherwise; work is put
 * on `stream` (a cudaStream_t) and not waited for. Nothing is allocated but by `allocate`. */
#ifndef SHORTLIST_CUDA_PLUGIN_H
#define SHORTLIST_CUDA_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SHORTLIST_CUDA_ABI 1

typedef enum {
  SHORTLIST_CUDA_OK = 0,
  SHORTLIST_CUDA_NO_DEVICE = 1, /* no driver, an older one, or no GPU */
  SHORTLIST_CUDA_NO_MEMORY = 2,
  SHORTLIST_CUDA_BAD_ARGUMENT = 3,
  SHORTLIST_CUDA_FAILED = 4
} ShortlistCudaResult;

typedef struct {
  char name[128];
  int major, minor, multiprocessors;
  size_t memory, free;
} ShortlistCudaDevice;

/* How a query is compared with rows. Rows are bytes; queries are float32 for rows of a float type,
 * else of the rows' type. Smaller is nearer: inner products are negated. */
typedef enum {
  SHORTLIST_CUDA_L2_F32,
  SHORTLIST_CUDA_L2_F16,
  SHORTLIST_CUDA_L2_BF16,
  SHORTLIST_CUDA_L2_U8,
  SHORTLIST_CUDA_L2_I8,
  SHORTLIST_CUDA_IP_F32,
  SHORTLIST_CUDA_IP_F16,
  SHORTLIST_CUDA_IP_BF16,
  SHORTLIST_CUDA_IP_U8,
  SHORTLIST_CUDA_IP_I8,
  SHORTLIST_CUDA_HAMMING,
  SHORTLIST_CUDA_PLANES /* odd-integer codes; bodies/bits.h has the formula */
} ShortlistCudaKind;

typedef struct {
  int device;
  void* stream;
  ShortlistCudaKind kind;
  /* Rows in units of 16 bytes, the same unit of 32 rows side by side (`interleave` makes them). */
  const void* rows;
  size_t n, units_per_row; /* n below 2^32 - 1 */
  /* Each query takes query_bytes(kind, units_per_row), 16-byte aligned, zeros at its end. */
  const void* queries;
  size_t queries_n;
  const uint32_t* allowed; /* a bit for each row that may be found, or null */
  size_t k;                /* 1 to 2048 */
  /* Of SHORTLIST_CUDA_PLANES: units of a plane, planes of rows and of queries (at most 9), a pair
   * of factors for each row, three numbers for each query. */
  uint32_t plane, bits, query_bits;
  const float *add, *rescale;
  const float *near, *scale;
  const int64_t* offset; /* (2^bits - 1) * the sum of the query's values */
  float least;
  void* room; /* scan_room bytes */
  float* distances;
  int64_t* numbers; /* queries_n * k, -1 and +FLT_MAX behind the last */
} ShortlistCudaScan;

typedef struct {
  int device;
  void* stream;
  ShortlistCudaKind kind; /* not of planes */
  const void* rows;       /* one after the other, `stride` bytes apart, `bytes` bytes each */
  size_t n, stride, bytes;
  const void* queries; /* as of a scan */
  size_t queries_n;
  /* Candidates of all queries one after the other: those of query q are offsets[q] to
   * offsets[q + 1]. Numbers outside of the rows get +FLT_MAX. */
  const int64_t *candidates, *offsets;
  size_t candidates_n;
  float* distances; /* candidates_n */
} ShortlistCudaRescore;

typedef struct {
  int device;
  void* stream;
  ShortlistCudaKind kind; /* IP_F32, IP_F16 or IP_BF16 */
  const void* rows;       /* tokens of documents, as of a rescore */
  size_t n, stride, bytes;
  const int64_t* documents; /* of document i the rows documents[i] to documents[i + 1] */
  size_t documents_n;
  const void* queries;   /* tokens of queries, each as a query of a scan */
  const int64_t* tokens; /* of query q the tokens tokens[q] to tokens[q + 1] */
  size_t queries_n;
  const int64_t *candidates, *offsets; /* documents, as of a rescore; 0 for those not there */
  size_t candidates_n;
  float* scores; /* larger is better; products that are NaN count as -inf */
} ShortlistCudaMaxSim;

/* The nearest centroid of each row: the least bias[c] - <row, c>, of equal ones the first. With
 * bias |c|^2 / 2 that is by L2; half of what a cluster is made dearer by may be added (balanced
 * k-means). A row with NaN gets label 0 and a score of NaN. */
typedef struct {
  int device;
  void* stream;
  const float* rows;
  size_t n;
  const float* centroids;
  size_t k, d;
  const float* bias;
  uint32_t* labels; /* n */
  float* scores;    /* n */
} ShortlistCudaAssign;

/* Centroids as the means of the rows that have their labels, the same bits each time; those without
 * rows stay. */
typedef struct {
  int device;
  void* stream;
  const float* rows;
  size_t n; /* below 2^31 */
  const uint32_t* labels;
  size_t k, d;
  void* room; /* update_room bytes */
  float* centroids;
  uint64_t* counts; /* k */
} ShortlistCudaUpdate;

typedef struct {
  uint32_t abi, size;                                 /* of this struct */
  int (*count)(int* devices, char* why, size_t room); /* `devices` is of the host */
  int (*versions)(int* runtime, int* driver, char* why, size_t room);
  int (*describe)(int device, ShortlistCudaDevice* out, char* why, size_t room);
  int (*allocate)(int device, size_t bytes, void** out, char* why, size_t room);
  int (*release)(int device, void* memory, char* why, size_t room);
  /* Between any of host and device, by their addresses. */
  int (*copy)(int device, void* to, const void* from, size_t bytes, void* stream, char* why,
              size_t room);
  int (*synchronize)(int device, void* stream, char* why, size_t room);

  /* Of all kinds but planes, whose queries take query_bits * plane units. */
  size_t (*query_bytes)(ShortlistCudaKind kind, size_t units_per_row);
  /* Writes rows first to first + n of a store, from rows as of a rescore. */
  int (*interleave)(int device, void* stream, const void* from, size_t n, size_t stride,
                    size_t bytes, void* rows, size_t first, char* why, size_t room);
  int (*scan_room)(const ShortlistCudaScan* scan, size_t* bytes, char* why, size_t room);
  int (*scan)(const ShortlistCudaScan* scan, char* why, size_t room);
  /* The k least of each of `rows_n` rows of n distances; NaN is none of them. */
  int (*select)(int device, void* stream, const float* distances, size_t rows_n, size_t n, size_t k,
                float* least, int64_t* numbers, char* why, size_t room);
  int (*rescore)(const ShortlistCudaRescore* job, char* why, size_t room);
  int (*max_sim)(const ShortlistCudaMaxSim* job, char* why, size_t room);
  int (*assign)(const ShortlistCudaAssign* job, char* why, size_t room);
  int (*update_room)(const ShortlistCudaUpdate* job, size_t* bytes, char* why, size_t room);
  int (*update)(const ShortlistCudaUpdate* job, char* why, size_t room);
} ShortlistCuda;

/* The table for a version of the ABI, or null where this plugin has another. */
const ShortlistCuda* shortlist_cuda(uint32_t abi);

#ifdef __cplusplus
}
#endif
#endif
