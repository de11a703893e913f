// An inverted file: vectors in the list of their nearest centroid, of which a query looks at the
// nearest few (Sivic and Zisserman 2003; Jegou, Douze and Schmid 2011).
#pragma once

#include <functional>
#include <span>
#include <unordered_map>

#include "base/rwlock.h"
#include "base/threads.h"
#include "lists/lists.h"

namespace shortlist {

class Ivf {
 public:
  Ivf(size_t d, size_t nlist, std::shared_ptr<lists::Form> form);

  const size_t d, nlist;
  const std::shared_ptr<lists::Form> form;

  size_t size() const { return size_; }
  size_t memory() const;
  std::span<const id_t> ids(size_t list) const { return buckets_[list].ids; }
  size_t list_size(size_t list) const { return buckets_[list].ids.size(); }
  // The codes of a list, back to back.
  std::vector<std::byte> codes(size_t list) const;
  // How many times longer a search takes than if all lists were of one size: nlist * sum of n^2 /
  // (sum of n)^2.
  double imbalance() const;

  const std::vector<float>& centroids() const { return centroids_; }
  const float* centroid(size_t list) const { return centroids_.data() + list * d; }
  void set_centroids(std::vector<float> centroids);

  // Encodes x into its lists: `copies` of each row, list[c * x.rows + i] being where copy c of row
  // i goes; one whose list is kNoSlot is in none.
  void add(Matrix<const float> x, const slot_t* list, size_t copies, const id_t* ids,
           const ProgressFn& progress);
  // Codes made before; appended() after the last.
  void append(size_t list, const std::byte* codes, const id_t* ids, size_t n);
  void appended() { changed(); }
  // Codes made before, all of them or, where memory is out, none.
  struct Piece {
    size_t list;
    std::vector<std::byte> codes;
    std::vector<id_t> ids;
  };
  void append(std::span<const Piece> pieces);
  size_t remove(const Selector& sel);
  void clear();
  void take(Ivf& other, id_t add_id);  // what other holds, which is empty then

  // A query, which lists to look at, nearest first, kNoSlot where there are fewer, and how far each
  // is ("smaller is nearer").
  struct Probes {
    const float* q;
    const slot_t* list;
    const float* near;
    size_t n;
  };
  // How many of these lists to scan so that none is begun once `most` vectors were looked at.
  size_t within(const slot_t* list, size_t n, size_t most) const;
  struct Scanners {
    std::function<std::unique_ptr<lists::Scanner>()> make;
    std::vector<std::unique_ptr<lists::Scanner>> made = {};  // as many as were needed
  };
  // What query i finds goes to found[i].
  void scan(std::span<const Probes> queries, Scanners& scanners, const SelectedSlots* allowed,
            lists::Found* found) const;

  // Results and filters name vectors by slot: list after list, each from a multiple of kSlotStep.
  std::shared_ptr<const SelectedSlots> selected(const Selector& sel) const;
  id_t id_at(slot_t slot) const;
  // What the codes at these slots stand for.
  void decode(std::span<const slot_t> slots, float* out) const;

  // The vector of an id, by a map that is made when first asked for. Throws IdError.
  void reconstruct(id_t id, float* out) const;
  void make_direct_map() const { (void)places(); }

 private:
  struct Bucket {
    std::vector<id_t> ids;
    std::unique_ptr<lists::List> codes;
  };
  struct Place {
    slot_t list, at;
  };
  using Places = std::unordered_map<id_t, Place>;
  std::shared_ptr<const Places> places() const;
  std::shared_ptr<const std::vector<id_t>> ids_by_slot() const;
  Place place_of(slot_t slot) const {
    const slot_t l = list_of_[slot / lists::kSlotStep];
    return {l, slot - static_cast<slot_t>(first_[l])};
  }
  void decode(Place place, std::span<std::byte> code, float* out) const;
  void check_fits(size_t n) const;
  void changed();
  void scan_list(lists::Scanner& scanner, slot_t list, float near, const SelectedSlots* allowed,
                 lists::Found& found) const;

  std::vector<Bucket> buckets_;
  std::vector<float> centroids_;
  std::vector<size_t> first_;    // slot of each list, and the end
  std::vector<slot_t> list_of_;  // list of every kSlotStep slots
  size_t size_ = 0;
  uint64_t version_ = 0;
  // Made when first asked for after a change.
  mutable RwLock made_lock_;  // a std::mutex could stay locked in a forked child
  mutable std::shared_ptr<const std::vector<id_t>> by_slot_;
  mutable std::shared_ptr<const Places> places_;
};

}  // namespace shortlist
