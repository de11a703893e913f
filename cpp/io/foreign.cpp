#include "io/foreign.h"

#include <cctype>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/error.h"

namespace shortlist::io {
namespace {

using namespace std::string_view_literals;

struct Format {
  std::string_view magic, what;
};
constexpr Format kFormats[] = {
    {"\x93NUMPY"sv, "a NumPy file: load it with numpy.load and add its rows to an index"},
    {"PK\x03\x04"sv, "a zip archive (.npz, .pt or .zip): unpack it first"},
    {"\x1f\x8b"sv, "a gzip file: unpack it first"},
    {"\x28\xb5\x2f\xfd"sv, "a zstd file: unpack it first"},
    {"\x89HDF\r\n\x1a\n"sv, "an HDF5 file: read its vectors with h5py and add them to an index"},
    {"PAR1"sv, "a Parquet file: read its vectors with pyarrow and add them to an index"},
    {"ARROW1"sv, "an Arrow file: read its vectors with pyarrow and add them to an index"},
    {"usearch"sv, "a usearch index: load it with usearch and add its vectors to an index"},
    {"version https://git-lfs"sv, "a Git LFS pointer, not the file itself: run git lfs pull"},
    {"\x80\x02"sv, "a pickle: load it with pickle.load"},
    {"\x80\x03"sv, "a pickle: load it with pickle.load"},
    {"\x80\x04"sv, "a pickle: load it with pickle.load"},
    {"\x80\x05"sv, "a pickle: load it with pickle.load"},
};

// hnswlib starts with offsetLevel0 = 0, max_elements, cur_element_count, size_data_per_element,
// label_offset, offsetData: six u64, without a magic number.
bool is_hnswlib(std::string_view head) {
  uint64_t field[6];
  if (head.size() < sizeof field) return false;
  std::memcpy(field, head.data(), sizeof field);
  return field[0] == 0 && field[1] >= field[2] && field[1] < uint64_t{1} << 40 &&
         field[3] == field[4] + 8 && field[5] > 0 && field[5] < field[4];
}

bool is_text(std::string_view head) {
  if (head.size() < 8) return false;
  for (const char c : head)
    if (!std::isprint(static_cast<unsigned char>(c)) && c != '\n' && c != '\r' && c != '\t')
      return false;
  return true;
}

}  // namespace

std::string describe_foreign(std::span<const std::byte> bytes) {
  const std::string_view head(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (head.empty()) return "empty";
  for (const Format& f : kFormats)
    if (head.starts_with(f.magic)) return std::string(f.what);
  if (is_hnswlib(head))
    return "an hnswlib index: load it with hnswlib and add its vectors (get_items) to an index";
  if (is_text(head)) return text("text (it starts with \"", head.substr(0, 8), "\")");
  return "";
}

}  // namespace shortlist::io
