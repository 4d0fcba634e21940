package changes

import "slices"

// Kind of a record: the version of its key.
type Kind int16

// Key names a record of a group.
type Key struct {
	Kind Kind
	ID   string // of a member, or what else the kind has one record for each of; "" for kinds with one record in a group
}

// Record of a group. A nil value is a tombstone.
type Record struct{ Key, Value []byte }

// Source says how the records of a group are written.
type Source struct {
	// Removed is the order in which tombstones are written, which come first; Written that of the others. A kind may be in both.
	Removed, Written []Kind
	// Key encodes a key, Value what a record has as its value now; nil: it does not exist.
	Key   func(k Key) []byte
	Value func(k Key) []byte
}

// Set is the keys of records that are to be written. The zero value is empty and ready to use. Not safe for concurrent use.
type Set struct{ keys map[Key]struct{} }

// Mark notes that a record is stale.
func (s *Set) Mark(kind Kind, id string) { s.Unsaved([]Key{{kind, id}}) }

// Unsaved notes that records could not be written.
func (s *Set) Unsaved(keys []Key) {
	if s.keys == nil {
		s.keys = make(map[Key]struct{})
	}
	for _, k := range keys {
		s.keys[k] = struct{}{}
	}
}

// Dirty reports whether records are to be written.
func (s *Set) Dirty() bool { return len(s.keys) > 0 }

// Clear forgets all that was noted.
func (s *Set) Clear() { clear(s.keys) }

// Each calls fn with each key, in no order.
func (s *Set) Each(fn func(k Key)) {
	for k := range s.keys {
		fn(k)
	}
}

// Take empties the set and returns the records that make the log say what memory does, with their keys, for Unsaved.
func (s *Set) Take(src Source) ([]Record, []Key) {
	if len(s.keys) == 0 {
		return nil, nil
	}
	byKind := make(map[Kind][]string)
	for k := range s.keys {
		byKind[k.Kind] = append(byKind[k.Kind], k.ID)
	}
	s.keys = nil
	for _, ids := range byKind {
		slices.Sort(ids)
	}
	var records []Record
	var keys []Key
	add := func(order []Kind, exist bool) {
		for _, kind := range order {
			for _, id := range byKind[kind] {
				k := Key{kind, id}
				if value := src.Value(k); (value != nil) == exist {
					records, keys = append(records, Record{src.Key(k), value}), append(keys, k)
				}
			}
		}
	}
	add(src.Removed, false)
	add(src.Written, true)
	return records, keys
}
