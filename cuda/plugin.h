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
  SHORTLIST_CUDA_PLANES, /* odd-integer codes; bodies/bits.h has the formula */
  SHORTLIST_CUDA_TABLES  /* a byte for each part; queries are the 256 distances of each part */
} ShortlistCudaKind;

/* What becomes of numbers that are copied. TF32 is float32 rounded to 10 bits of mantissa. */
typedef enum {
  SHORTLIST_CUDA_AS_THEY_ARE,
  SHORTLIST_CUDA_F32_TO_TF32,
  SHORTLIST_CUDA_F32_TO_F16,
  SHORTLIST_CUDA_F32_TO_BF16
} ShortlistCudaConversion;

/* Rows first to first + n of a store, or those of `places`, from rows that lie `stride` bytes
 * apart, `bytes` bytes each; of stride 0, from another store. A store has rows in units of 16
 * bytes, the same unit of 32 rows side by side, zeros at a row's end; what is behind its last row
 * may be anything. */
typedef struct {
  int device;
  void* stream;
  ShortlistCudaConversion conversion;
  const void* from;
  size_t n, stride, bytes;
  /* Where not null, which of the gather_n rows of `from` come, n numbers; zeros for others. */
  const int64_t* gather;
  size_t gather_n;
  void* rows;
  size_t first;
  /* Where not null, of each row where it goes; nowhere if negative. */
  const int64_t* places;
  int in_rows; /* one row after the other instead, as queries of a scan lie */
  /* Of each row, where not null and rows are of float32: |x|^2, and |x - what is stored|^2, where
   * the row is stored; and the largest of each is raised to what is met. */
  float *squares, *errors, *most_square, *most_error;
} ShortlistCudaStore;

typedef struct {
  int device;
  void* stream;
  ShortlistCudaKind kind;
  const void* rows;        /* a store */
  size_t n, units_per_row; /* n below 2^32 - 1 */
  /* Of `scan`: each query takes query_bytes(kind, units_per_row), 16-byte aligned, zeros at its
   * end. Of `scan_many`: a store, of the rows' type; see there. */
  const void* queries;
  size_t queries_n;
  /* Where not null: the *chosen_n queries, by number, that are done; results of others stay. */
  const uint32_t *chosen, *chosen_n;
  const uint32_t* allowed; /* a bit for each row that may be found, or null */
  size_t k;                /* 1 to 2048 */
  const float* bias;       /* of scan_many: of each row, or null for zeros */
  /* Of SHORTLIST_CUDA_PLANES: units of a plane, planes of rows and of queries (at most 9), a pair
   * of factors for each row, three numbers for each query. */
  uint32_t plane, bits, query_bits;
  const float *add, *rescale;
  const float *near, *scale;
  const int64_t* offset; /* (2^bits - 1) * the sum of the query's values */
  float least;
  int negate; /* what is told: products instead of negated ones, and -FLT_MAX */
  void* room; /* scan_room or scan_many_room bytes */
  float* distances;
  int64_t* numbers; /* queries_n * k, -1 and +FLT_MAX behind the last */
} ShortlistCudaScan;

/* Inverted lists: of each query the lists it names, each once: rows of one that is named again are
 * found again. Of equal distances the smaller row is first. */
typedef struct {
  int device;
  void* stream;
  ShortlistCudaKind kind; /* not of planes */
  const void* rows;       /* a store; lists begin at multiples of 32 rows */
  size_t n, units_per_row;
  const uint64_t* starts; /* of each list, its first row */
  const uint32_t* sizes;
  size_t lists_n;
  const int64_t* ids;  /* of rows, or null for their numbers */
  const void* queries; /* as of scan; of SHORTLIST_CUDA_TABLES d float32 each, likewise */
  size_t queries_n;
  const int64_t* probes; /* queries_n * nprobe lists; numbers that are no list are left out */
  size_t nprobe;
  const uint32_t* allowed;
  size_t k;
  /* Of SHORTLIST_CUDA_TABLES: rows are m bytes, each the number of one of 256 codewords of d / m
   * numbers; `codewords` is m * 256 * d / m of them. Codes of what is left of a row without its
   * list's centroid, unless `centroids` (lists_n * d) is null. */
  int inner_product;
  size_t d, m;
  const float *codewords, *centroids;
  int negate; /* as of a scan */
  void* room; /* scan_lists_room bytes */
  float* distances;
  int64_t* numbers; /* queries_n * k ids, -1 and +FLT_MAX behind the last */
} ShortlistCudaLists;

/* Distances to all codewords of each part, as queries of SHORTLIST_CUDA_TABLES: parts up to a
 * multiple of 16, 256 floats each, zeros behind the m-th. */
typedef struct {
  int device;
  void* stream;
  const float* queries;
  size_t queries_n, d, m;
  const float* codewords; /* m * 256 * d / m */
  int inner_product;
  float* tables;
} ShortlistCudaTables;

/* Best-first search of a graph of fixed degree: of the ef nearest rows found so far, the `width`
 * nearest whose links were not followed yet are next, until there are none. */
typedef struct {
  int device;
  void* stream;
  ShortlistCudaKind kind;  /* not of planes or tables */
  const void* rows;        /* one after the other, as of a rescore */
  size_t n, stride, bytes; /* n up to 2^31 */
  const uint32_t* links;   /* n * degree; numbers that are no row are left out */
  size_t degree;           /* 1 to 128 */
  const void* queries;     /* as of a scan */
  size_t queries_n;
  const uint32_t* entries; /* entries_n rows that every query begins at */
  size_t entries_n;
  const uint32_t* allowed; /* a bit for each row that may be found, or null; others are walked */
  size_t ef, k;            /* k <= ef <= 1024 */
  size_t width;            /* width * degree up to 1024 */
  size_t steps;            /* rows whose links are followed, at most */
  int negate;              /* as of a scan */
  float* distances;
  int64_t* numbers; /* queries_n * k */
} ShortlistCudaGraph;

/* Links of rows first to first + n of a graph, chosen among near ones: each is taken unless it is
 * nearer to one taken before than to the row itself (HNSW's heuristic; Malkov and Yashunin 2016,
 * algorithm 4). Those as near are taken too, but only for half the links, lest equal rows link to
 * nothing else. What is left free is filled with the nearest that were not taken. */
typedef struct {
  int device;
  void* stream;
  ShortlistCudaKind kind;
  const void* rows;
  size_t rows_n, stride, bytes;
  size_t first, n;
  /* n * candidates_n, nearest first; numbers that are no row, the row itself, and what stands twice
   * side by side are left out. */
  const int64_t* candidates;
  const float* distances; /* of them, in the kind's sign */
  size_t candidates_n;    /* at most 256 */
  size_t degree;          /* 1 to 128 */
  size_t apart;           /* where a row's links begin behind those of the row before */
  uint32_t* links;        /* of all rows, `degree` each, 0xffffffff where there are fewer */
} ShortlistCudaPrune;

/* Candidates for links both ways: of each row those it links to, then up to `most` rows that link
 * to it: those first that have it first among their links, and of equal ones the smaller number. */
typedef struct {
  int device;
  void* stream;
  const uint32_t* links; /* n * degree; numbers that are no row are left out */
  size_t n, degree;      /* n * degree below 2^32 */
  size_t most;
  void* room;          /* reverse_room bytes */
  int64_t* candidates; /* n * (degree + most), -1 for none */
} ShortlistCudaReverse;

/* Queries whose k nearest of `kept` coarse ones may not be the k nearest of all: those for which
 * the k-th distance is not below the last coarse one less what products may be wrong by,
 *   |q - q'| max|x| + |q'| max|x - x'|,
 * twice that of L2, and what adding up may. Their numbers go to `chosen`. */
typedef struct {
  int device;
  void* stream;
  const float* coarse; /* queries_n * kept, ascending, +FLT_MAX behind the last */
  const float* exact;  /* queries_n * k */
  size_t queries_n, kept, k;
  int inner_product, negate;             /* whether `exact` was negated */
  const float *squares, *errors;         /* of the queries, as of a store */
  const float *most_square, *most_error; /* of the rows */
  float row_error;             /* where most_error is null: |x - x'| as a part of |x|, at most */
  float slack;                 /* of adding up: about d * 2^-24 */
  uint32_t *chosen, *chosen_n; /* queries_n numbers, and how many */
} ShortlistCudaCertify;

typedef struct {
  int device;
  void* stream;
  ShortlistCudaKind kind; /* not of planes */
  /* One after the other, `stride` bytes apart, `bytes` bytes each; of stride 0, a store. */
  const void* rows;
  size_t n, stride, bytes;
  const void* queries; /* as of a scan */
  size_t queries_n;
  /* Candidates of all queries one after the other: those of query q are offsets[q] to
   * offsets[q + 1], or without offsets the same number of each. Numbers outside of the rows get
   * +FLT_MAX. */
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
  int64_t* labels; /* n */
  float* scores;   /* n */
} ShortlistCudaAssign;

/* Centroids as the means of the rows that have their labels, the same bits each time; those without
 * rows, or with rows that weigh nothing, stay. Labels that are no centroid are left out. */
typedef struct {
  int device;
  void* stream;
  const float* rows;
  size_t n; /* below 2^31 */
  const int64_t* labels;
  const float* weights; /* of rows, or null: 1 */
  size_t k, d;
  void* room; /* update_room bytes */
  float* centroids;
  uint64_t* counts; /* k: rows */
  double* totals;   /* k: their weights; or null */
} ShortlistCudaUpdate;

/* The k least of each of `rows_n` rows of n distances; NaN is none of them. */
typedef struct {
  int device;
  void* stream;
  const float* distances;
  size_t rows_n, n;
  const int64_t* names; /* of all distances, below 2^32 - 1, negative for none; null: 0 to n - 1 */
  size_t k;
  const uint32_t *chosen, *chosen_n; /* rows, as of a scan */
  int negate;                        /* as of a scan */
  float* least;
  int64_t* numbers; /* names of the least, of equal ones the smaller first */
} ShortlistCudaSelect;

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
  int (*store)(const ShortlistCudaStore* job, char* why, size_t room);
  int (*scan_room)(const ShortlistCudaScan* job, size_t* bytes, char* why, size_t room);
  int (*scan)(const ShortlistCudaScan* job, char* why, size_t room);
  /* Many queries by tensor cores: products of float16 and bfloat16 as they are, of float32 as TF32,
   * of bytes exact. A distance is `bias` of the row, less the product (IP) or twice it (L2): with
   * |x|^2 for bias it is the squared distance less |q|^2. Rows of bits (of 16 bytes at a time) are
   * for queries of signed bytes, of which byte 4 (8 w + j) + i goes with bit 32 w + j + 8 i: of
   * planes their values, of Hamming 1 - 2 bits, and `near` their number of ones. */
  int (*scan_many_room)(const ShortlistCudaScan* job, size_t* bytes, char* why, size_t room);
  int (*scan_many)(const ShortlistCudaScan* job, char* why, size_t room);
  int (*scan_lists_room)(const ShortlistCudaLists* job, size_t* bytes, char* why, size_t room);
  int (*scan_lists)(const ShortlistCudaLists* job, char* why, size_t room);
  int (*tables)(const ShortlistCudaTables* job, char* why, size_t room);
  int (*graph)(const ShortlistCudaGraph* job, char* why, size_t room);
  int (*prune)(const ShortlistCudaPrune* job, char* why, size_t room);
  int (*reverse_room)(const ShortlistCudaReverse* job, size_t* bytes, char* why, size_t room);
  int (*reverse)(const ShortlistCudaReverse* job, char* why, size_t room);
  int (*certify)(const ShortlistCudaCertify* job, char* why, size_t room);
  int (*select)(const ShortlistCudaSelect* job, char* why, size_t room);
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
