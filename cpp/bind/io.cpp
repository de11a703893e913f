// Indexes to and from files, bytes and Python callbacks.
#include <atomic>
#include <cstring>
#include <memory>
#include <utility>

#include "base/error.h"
#include "bind/arrays.h"
#include "bind/bind.h"
#include "faiss_format/faiss_format.h"
#include "index/save.h"
#include "io/stream.h"
#include "io/syscalls.h"

namespace shortlist {
namespace {

// faiss's flags. Those about mapping and IVF change nothing here: files are read into memory.
constexpr int kSkipStorage = 1;
constexpr std::pair<const char*, int> kFlags[] = {
    {"IO_FLAG_SKIP_STORAGE", kSkipStorage}, {"IO_FLAG_READ_ONLY", 2},
    {"IO_FLAG_ONDISK_SAME_DIR", 4},         {"IO_FLAG_SKIP_IVF_DATA", 8},
    {"IO_FLAG_SKIP_PRECOMPUTE_TABLE", 16},  {"IO_FLAG_PQ_SKIP_SDC_TABLE", 32},
    {"IO_FLAG_MMAP", 8 | 0x646f0000},       {"IO_FLAG_MMAP_IFC", 1 << 9},
};

void check_flags(int flags) {
  int known = 0;
  for (const auto& [name, value] : kFlags) known |= value;
  if (flags & ~known)
    throw ArgumentError(
        text("io_flags = ", flags, " has unknown bits; combine IO_FLAG_* constants"));
}

void check_write_flags(int flags) {
  check_flags(flags);
  if (flags & kSkipStorage)
    throw UnsupportedError(
        "a graph is always written with its vectors; leave out IO_FLAG_SKIP_STORAGE");
}

std::string type_name(const py::handle& x) {
  return py::str(py::type::handle_of(x).attr("__name__"));
}

bool is_path(const py::object& x) {
  return py::isinstance<py::str>(x) || py::isinstance<py::bytes>(x) || py::hasattr(x, "__fspath__");
}

std::string path_of(const py::object& x) {
  PyObject* encoded = nullptr;
  if (!PyUnicode_FSConverter(x.ptr(), &encoded)) throw py::error_already_set();
  return py::reinterpret_steal<py::bytes>(encoded);
}

// A Python callable that a thread without the GIL may call and drop.
class Callback {
 public:
  explicit Callback(py::object call) : call_(std::move(call)) {}
  ~Callback() {
    const py::gil_scoped_acquire hold;
    call_ = py::object();
  }
  Callback(const Callback&) = delete;
  Callback& operator=(const Callback&) = delete;
  template <class Arg>
  py::object operator()(Arg&& arg) const {
    return call_(std::forward<Arg>(arg));
  }
  const py::object& get() const { return call_; }

 private:
  py::object call_;
};

// One call at a time: these objects hold buffers, and calls run without the GIL.
class Exclusive {
 public:
  explicit Exclusive(std::atomic_flag& taken) : taken_(taken) {
    if (taken_.test_and_set())
      throw BusyError("this reader or writer is used by another call; use one for each");
  }
  ~Exclusive() { taken_.clear(); }
  Exclusive(const Exclusive&) = delete;
  Exclusive& operator=(const Exclusive&) = delete;

 private:
  std::atomic_flag& taken_;
};

struct IOWriter : io::Sink {
  virtual void flush() {}
  std::atomic_flag taken;
};

class CallbackWriter final : public IOWriter {
 public:
  // A write that returns None took everything, or, `none_is_nothing`, would have had to wait.
  CallbackWriter(py::object call, size_t bs, bool none_is_nothing = false)
      : bs(bs), call_(std::move(call)), none_is_nothing_(none_is_nothing) {
    if (bs == 0) throw ArgumentError("bs = 0; the block size must be at least 1 byte");
  }
  void write(const void* data, size_t n) override {
    const auto* at = static_cast<const char*>(data);
    const py::gil_scoped_acquire hold;
    while (n) {
      const size_t took = send(at, std::min(n, bs));
      at += took;
      n -= took;
    }
  }
  py::object callback() const { return call_.get(); }
  const size_t bs;

 private:
  size_t send(const char* at, size_t n) const {
    const py::object result = call_(py::bytes(at, n));
    if (result.is_none() && !none_is_nothing_) return n;
    if (result.is_none())
      throw IoError(EAGAIN, "", "the stream does not take data now; make it blocking");
    if (!PyIndex_Check(result.ptr()))
      throw py::type_error(text("write returned a ", type_name(result),
                                "; it must return None or the number of bytes it took"));
    const auto took = result.cast<py::ssize_t>();
    if (took < 1 || static_cast<size_t>(took) > n)
      throw IoError(
          EIO, "", text("write says it took ", took, " of ", n, " bytes; it must take at least 1"));
    return static_cast<size_t>(took);
  }

  const Callback call_;
  const bool none_is_nothing_;
};

class BufferedWriter final : public IOWriter {
 public:
  BufferedWriter(std::shared_ptr<IOWriter> writer, size_t bsz)
      : writer_(std::move(writer)), bsz_(bsz) {
    if (bsz == 0) throw ArgumentError("bsz = 0; the buffer must hold at least 1 byte");
  }
  void write(const void* data, size_t n) override {
    const auto* from = static_cast<const std::byte*>(data);
    if (buffer_.size() + n > bsz_) drain();
    if (n >= bsz_)
      writer_->write(data, n);
    else
      buffer_.insert(buffer_.end(), from, from + n);
  }
  void flush() override {
    drain();
    writer_->flush();
  }

 private:
  void drain() {
    writer_->write(buffer_.data(), buffer_.size());
    buffer_.clear();
  }
  const std::shared_ptr<IOWriter> writer_;
  const size_t bsz_;
  std::vector<std::byte> buffer_;
};

class VectorWriter final : public IOWriter {
 public:
  void write(const void* data, size_t n) override { memory.write(data, n); }
  io::MemorySink memory;
};

struct IOReader : io::Source {
  virtual size_t read_some(void* data, size_t n) = 0;  // at most n bytes; 0: the end
  void read(void* data, size_t n) override {
    auto* to = static_cast<std::byte*>(data);
    while (n) {
      const size_t got = read_some(to, n);
      if (got == 0) io::throw_ended_early(n);
      to += got;
      n -= got;
    }
  }
  size_t remaining() const override { return SIZE_MAX; }
  std::atomic_flag taken;
};

class CallbackReader final : public IOReader {
 public:
  CallbackReader(py::object call, size_t bs) : bs(bs), call_(std::move(call)) {
    if (bs == 0) throw ArgumentError("bs = 0; the block size must be at least 1 byte");
  }
  size_t read_some(void* data, size_t n) override {
    const py::gil_scoped_acquire hold;
    n = std::min(n, bs);
    const py::object result = call_(n);
    if (PyUnicode_Check(result.ptr()) || !PyObject_CheckBuffer(result.ptr()))
      throw py::type_error(text("read returned a ", type_name(result),
                                "; it must return bytes (open files in binary mode, 'rb')"));
    Py_buffer view;
    if (PyObject_GetBuffer(result.ptr(), &view, PyBUF_SIMPLE) != 0) throw py::error_already_set();
    const auto got = static_cast<size_t>(view.len);
    if (got <= n) std::memcpy(data, view.buf, got);
    PyBuffer_Release(&view);
    if (got > n)
      throw IoError(EIO, "",
                    text("read returned ", got, " bytes where ", n,
                         " were asked; it must return at most that"));
    return got;
  }
  std::string name() const override { return "the data read"; }
  py::object callback() const { return call_.get(); }
  const size_t bs;

 private:
  const Callback call_;
};

class BufferedReader final : public IOReader {
 public:
  BufferedReader(std::shared_ptr<IOReader> reader, size_t bsz)
      : reader_(std::move(reader)), buffer_(bsz) {
    if (bsz == 0) throw ArgumentError("bsz = 0; the buffer must hold at least 1 byte");
  }
  size_t read_some(void* data, size_t n) override {
    if (begin_ == end_) {
      begin_ = 0;
      end_ = reader_->read_some(buffer_.data(), buffer_.size());
    }
    const size_t take = std::min(n, end_ - begin_);
    std::memcpy(data, buffer_.data() + begin_, take);
    begin_ += take;
    return take;
  }
  std::string name() const override { return reader_->name(); }

 private:
  const std::shared_ptr<IOReader> reader_;
  std::vector<std::byte> buffer_;
  size_t begin_ = 0, end_ = 0;
};

// A file or bytes, whose end is known.
class SourceReader : public IOReader {
 public:
  explicit SourceReader(std::unique_ptr<io::Source> source) : source_(std::move(source)) {}
  size_t read_some(void* data, size_t n) override {
    n = std::min(n, source_->remaining());
    source_->read(data, n);
    return n;
  }
  void read(void* data, size_t n) override { source_->read(data, n); }
  size_t remaining() const override { return source_->remaining(); }
  std::string name() const override { return source_->name(); }

 protected:
  std::unique_ptr<io::Source> source_;
};

class FileReader final : public SourceReader {
 public:
  explicit FileReader(const py::object& path) : SourceReader(io::open_file(path_of(path))) {}
};

// Contiguous bytes of a Python object, kept while this lives.
class Bytes {
 public:
  explicit Bytes(const py::object& x, int flags = PyBUF_SIMPLE) {
    if (!PyObject_CheckBuffer(x.ptr()))
      throw py::type_error(text("bytes or a uint8 array is needed, not a ", type_name(x)));
    if (PyObject_GetBuffer(x.ptr(), &view_, flags) != 0) throw py::error_already_set();
  }
  ~Bytes() {
    const py::gil_scoped_acquire hold;
    PyBuffer_Release(&view_);
  }
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;
  std::byte* data() const { return static_cast<std::byte*>(view_.buf); }
  size_t size() const { return static_cast<size_t>(view_.len); }
  std::unique_ptr<io::Source> source() const { return io::memory_source(data(), size()); }

 private:
  Py_buffer view_;
};

class VectorReader final : public SourceReader {
 public:
  VectorReader() : SourceReader(io::memory_source(nullptr, 0)) {}
  void set_data(const py::object& x) {
    bytes_ = std::make_unique<Bytes>(x);
    source_ = bytes_->source();
  }

 private:
  std::unique_ptr<Bytes> bytes_;
};

py::array_t<uint8_t> as_array(std::vector<std::byte> bytes) {
  const auto n = static_cast<py::ssize_t>(bytes.size());
  return owning<uint8_t>(std::move(bytes), {n});
}

// Calls body(sink) for a path, an IOWriter or an object with `write`, without the GIL.
template <class Body>
void write_to(const py::object& target, const Body& body) {
  if (is_path(target)) {
    const std::string path = path_of(target);
    const Unlocked unlocked;
    const auto file = io::create_file(path);
    body(*file);
    file->commit();
    return;
  }
  std::shared_ptr<IOWriter> writer;
  if (py::isinstance<IOWriter>(target)) {
    writer = target.cast<std::shared_ptr<IOWriter>>();
  } else if (py::hasattr(target, "write")) {
    const bool raw = py::isinstance(target, py::module_::import("io").attr("RawIOBase"));
    writer = std::make_shared<CallbackWriter>(target.attr("write"), io::kBufferBytes, raw);
  } else {
    throw py::type_error(text(
        "an index is written to a path, an IOWriter or an object with a write method, not to a ",
        type_name(target)));
  }
  const Unlocked unlocked;
  const Exclusive alone(writer->taken);
  BufferedWriter out(writer, io::kBufferBytes);
  body(out);
  out.flush();
}

// Calls body(source) for a path, an IOReader or an object with `read`, without the GIL.
template <class Body>
auto read_from(const py::object& from, const Body& body) {
  if (is_path(from)) {
    const std::string path = path_of(from);
    const Unlocked unlocked;
    return body(*io::open_file(path));
  }
  std::shared_ptr<IOReader> reader;
  if (py::isinstance<IOReader>(from))
    reader = from.cast<std::shared_ptr<IOReader>>();
  else if (py::hasattr(from, "read"))
    reader = std::make_shared<CallbackReader>(from.attr("read"), io::kBufferBytes);
  else
    throw py::type_error(text(
        "an index is read from a path, an IOReader or an object with a read method, not from a ",
        type_name(from)));
  const Unlocked unlocked;
  const Exclusive alone(reader->taken);
  return body(static_cast<io::Source&>(*reader));
}

template <class Body>
auto read_bytes(const py::object& data, const Body& body) {
  const Bytes bytes(data);
  const Unlocked unlocked;
  return body(*bytes.source());
}

template <class Body>
std::vector<std::byte> to_memory(const Body& body) {
  const Unlocked unlocked;
  io::MemorySink memory;
  body(memory);
  return std::move(memory.bytes);
}

Metadata metadata_from(const py::object& x) {
  Metadata out;
  if (x.is_none()) return out;
  if (!py::isinstance<py::dict>(x))
    throw py::type_error(text("metadata must be a dict of str to str, not a ", type_name(x)));
  for (const auto& [key, value] : py::reinterpret_borrow<py::dict>(x)) {
    if (!py::isinstance<py::str>(key) || !py::isinstance<py::str>(value))
      throw py::type_error(text("metadata maps str to str, but ", std::string(py::repr(key)),
                                " is given a ", type_name(value),
                                "; use json.dumps for other values"));
    out.emplace(key.cast<std::string>(), value.cast<std::string>());
  }
  return out;
}

py::dict as_dict(const Metadata& metadata) {
  py::dict out;
  for (const auto& [key, value] : metadata) out[py::str(key)] = py::str(value);
  return out;
}

std::shared_ptr<Index> load_index(io::Source& source) { return load(source); }

const Index& plain(const Index& index) { return index; }
const Index& plain(const IndexBinary& index) { return index.of_bytes(); }

// reader(buffer, size, nitems), as faiss's readers are called.
size_t read_items(IOReader& reader, const py::object& into, size_t size, size_t nitems) {
  const Bytes bytes(into, PyBUF_WRITABLE);
  if (size == 0 || nitems > bytes.size() / size)
    throw ArgumentError(
        text(nitems, " items of ", size, " bytes do not fit a buffer of ", bytes.size(), " bytes"));
  const Unlocked unlocked;
  const Exclusive alone(reader.taken);
  size_t done = 0;
  while (done < size * nitems) {
    const size_t got = reader.read_some(bytes.data() + done, size * nitems - done);
    if (got == 0) break;
    done += got;
  }
  return done / size;
}

void bind_writers(py::module_& m) {
  py::class_<IOWriter, py::smart_holder>(m, "IOWriter",
                                         "Where write_index can write to besides files.");
  py::class_<CallbackWriter, IOWriter, py::smart_holder>(
      m, "PyCallbackIOWriter",
      "Hands an index to a Python function piece by piece.\n\n"
      "callback(bytes) gets at most bs bytes and returns None, or how many it took (int, at least "
      "1).\n"
      "What it raises is raised by write_index.")
      .def(py::init([](py::object call, size_t bs) {
             return std::make_shared<CallbackWriter>(std::move(call), bs);
           }),
           py::arg("callback"), py::arg("bs") = io::kBufferBytes)
      .def_property_readonly("callback", &CallbackWriter::callback)
      .def_readonly("bs", &CallbackWriter::bs);
  py::class_<BufferedWriter, IOWriter, py::smart_holder>(
      m, "BufferedIOWriter",
      "Gathers small writes into blocks of bsz bytes for another IOWriter; write_index flushes it.")
      .def(py::init<std::shared_ptr<IOWriter>, size_t>(), py::arg("writer").none(false),
           py::arg("bsz") = io::kBufferBytes);
  py::class_<VectorWriter, IOWriter, py::smart_holder>(m, "VectorIOWriter",
                                                       "Keeps what is written in memory.")
      .def(py::init<>())
      .def_property_readonly(
          "data", [](const VectorWriter& w) { return as_array(w.memory.bytes); },
          "A copy of the bytes: uint8 (n,).");
}

void bind_readers(py::module_& m) {
  py::class_<IOReader, py::smart_holder>(m, "IOReader",
                                         "Where read_index can read from besides files.")
      .def("__call__", &read_items, py::arg("buffer"), py::arg("size"), py::arg("nitems"),
           "Reads nitems items of size bytes into a writable buffer; returns how many whole items "
           "there were.");
  py::class_<CallbackReader, IOReader, py::smart_holder>(
      m, "PyCallbackIOReader",
      "Takes an index from a Python function piece by piece.\n\n"
      "callback(size) returns at most size bytes; none (b'') means the end. It is never asked for\n"
      "more than the index needs, so other data may follow in the same stream.")
      .def(py::init<py::object, size_t>(), py::arg("callback"), py::arg("bs") = io::kBufferBytes)
      .def_property_readonly("callback", &CallbackReader::callback)
      .def_readonly("bs", &CallbackReader::bs);
  py::class_<BufferedReader, IOReader, py::smart_holder>(
      m, "BufferedIOReader", "Reads blocks of bsz bytes ahead from another IOReader.")
      .def(py::init<std::shared_ptr<IOReader>, size_t>(), py::arg("reader").none(false),
           py::arg("bsz") = io::kBufferBytes);
  py::class_<FileReader, IOReader, py::smart_holder>(m, "FileIOReader", "Reads a file.")
      .def(py::init<const py::object&>(), py::arg("path"));
  py::class_<VectorReader, IOReader, py::smart_holder>(m, "VectorIOReader",
                                                       "Reads from memory: set data first.")
      .def(py::init<>())
      .def_property("data", nullptr, &VectorReader::set_data,
                    "The bytes to read: bytes or uint8 (n,).");
}

// The functions of Any, which is Index or IndexBinary; `kind` is its name in theirs.
template <class Any, class Read>
void bind_faiss_files(py::module_& m, const std::string& kind, const Read& read) {
  m.def(("write_" + kind).c_str(),
        [](const Any& index, const py::object& target, int io_flags) {
          check_write_flags(io_flags);
          write_to(target, [&](io::Sink& sink) { write_faiss(plain(index), sink); });
        },
        py::arg("index"), py::arg("f"), py::arg("io_flags") = 0,
        "Writes an index as faiss does, for faiss and other tools; Index.save keeps more.\n\n"
        "f is a path (the file is replaced whole or not at all), an IOWriter or an object with "
        "write.\n"
        "Raises OSError for file trouble, UnsupportedError for what faiss's format cannot hold.");
  m.def(("read_" + kind).c_str(),
        [read](const py::object& from, int io_flags) {
          check_flags(io_flags);
          return read_from(from, read);
        },
        py::arg("f"), py::arg("io_flags") = 0,
        "Reads an index that faiss or write_index wrote, as the class it was.\n\n"
        "f is a path, an IOReader or an object with read. Flags are accepted; files are read into "
        "memory.\n"
        "Raises OSError for file trouble, CorruptIndexError for damaged or foreign data,\n"
        "UnsupportedError for faiss classes that are not built in.");
  m.def(("serialize_" + kind).c_str(),
        [](const Any& index, int io_flags) {
          check_write_flags(io_flags);
          return as_array(to_memory([&](io::Sink& sink) { write_faiss(plain(index), sink); }));
        },
        py::arg("index"), py::arg("io_flags") = 0, "The bytes of write_index: uint8 (n,).");
  m.def(
      ("deserialize_" + kind).c_str(),
      [read](const py::object& data, int io_flags) {
        check_flags(io_flags);
        return read_bytes(data, read);
      },
      py::arg("data"), py::arg("io_flags") = 0,
      "The index in the bytes of serialize_index: bytes or uint8 (n,). Raises as read_index does.");
}

void bind_transform_files(py::module_& m) {
  m.def(
      "write_VectorTransform",
      [](const VectorTransform& vt, const py::object& target) {
        write_to(target, [&](io::Sink& sink) { write_faiss(vt, sink); });
      },
      py::arg("vt"), py::arg("f"), "Writes a transform as faiss does; f as in write_index.");
  m.def(
      "read_VectorTransform",
      [](const py::object& from) { return read_from(from, read_faiss_transform); }, py::arg("f"),
      "Reads what write_VectorTransform, here or in faiss, wrote; f and errors as in read_index.");
}

void bind_native_files(py::module_& m) {
  m.def(
      "open", [](const py::object& path) { return read_from(path, load_index); }, py::arg("path"),
      "Opens an index that Index.save wrote, exactly as it was.\n\n"
      "path is a path or an object with read. Raises OSError for file trouble and "
      "CorruptIndexError\n"
      "for damaged or foreign data; every byte is checked.");
  m.def(
      "read_metadata",
      [](const py::object& path) { return as_dict(read_from(path, load_metadata)); },
      py::arg("path"),
      "The metadata {str: str} that Index.save was given, read without the vectors.");
  m.def(
      "_from_bytes", [](const py::object& data) { return read_bytes(data, load_index); },
      py::arg("data"));
  m.def("clone_index", &clone_index, py::call_guard<Unlocked>(), py::arg("index"),
        "A copy of an index that shares nothing with it; same class, same answers.");
  m.def(
      "clone_binary_index",
      [](const IndexBinary& index) {
        return std::dynamic_pointer_cast<IndexBinary>(clone_index(index.of_bytes()));
      },
      py::call_guard<Unlocked>(), py::arg("index"), "clone_index of a binary index.");
  m.def(
      "_fail_io",
      [](const std::string& call, size_t after, int error) {
        const bool fired = io::restore_calls();
        if (!call.empty()) io::fail_call(call, after, error);
        return fired;
      },
      py::arg("call") = "", py::arg("after") = 0, py::arg("errno") = 0,
      "For tests: lets `after` calls of open, read, pread, completed (by io_uring), write, fsync,\n"
      "rename, close, unlink or change (open, write, fsync, rename and unlink together) succeed\n"
      "and makes the next fail with errno (0: move half of what was asked; -n: die of signal n).\n"
      "Without arguments ends that. Returns whether a call had been made to fail before.");
}

template <class Any>
void bind_index_methods(py::module_& m, const char* name) {
  const py::object from_bytes = m.attr("_from_bytes");
  py::reinterpret_borrow<py::class_<Any, py::smart_holder>>(m.attr(name))
      .def(
          "save",
          [](const Any& index, const py::object& target, const py::object& metadata) {
            const Metadata own = metadata_from(metadata);
            write_to(target, [&](io::Sink& sink) { save(plain(index), sink, own); });
          },
          py::arg("path"), py::arg("metadata") = py::none(),
          "Saves the index with checksums, for shortlist.open; write_index makes files for "
          "faiss.\n\n"
          "path is a path (the file is replaced whole or not at all) or an object with write; "
          "metadata {str: str}\n"
          "is kept beside the index. Raises OSError for file trouble.")
      .def("__reduce__", [from_bytes](const Any& index) {
        const auto bytes = to_memory([&](io::Sink& sink) { save(plain(index), sink); });
        return py::make_tuple(
            from_bytes,
            py::make_tuple(py::bytes(reinterpret_cast<const char*>(bytes.data()), bytes.size())));
      });
}

}  // namespace

void bind_io(py::module_& m) {
  bind_writers(m);
  bind_readers(m);
  bind_faiss_files<Index>(m, "index", read_faiss);
  bind_faiss_files<IndexBinary>(m, "index_binary", read_faiss_binary);
  bind_transform_files(m);
  for (const auto& [name, value] : kFlags) m.attr(name) = value;
  bind_native_files(m);
  bind_index_methods<Index>(m, "Index");
  bind_index_methods<IndexBinary>(m, "IndexBinary");
}

}  // namespace shortlist
