package cleaner

import (
	"fmt"
	"hash/maphash"
	"unsafe"

	"golang.org/x/sys/unix"
)

// slot is a key's place: two independent hashes stand for the key, as the digest does in Kafka. That two keys of a partition share both is as likely as a
// collision of 128 random bits; the seeds are new for each map, so that nobody can choose such keys.
type slot struct {
	hash, check uint64
	next        int64 // offset behind the last record of the key, 0: the slot is free
}

const slotBytes = int64(unsafe.Sizeof(slot{}))

// MinMapBytes is the smallest useful OffsetMap: Kafka's least log.cleaner.dedupe.buffer.size of a thread.
const MinMapBytes = 1 << 20

// OffsetMap knows the last offset of each key, up to a number of keys that its memory holds. The memory is not the Go heap's. Close gives it back.
type OffsetMap struct {
	seeds  [2]maphash.Seed
	memory []byte
	slots  []slot
	used   int
	limit  int   // most keys
	end    int64 // behind the last record that was looked at
}

// NewOffsetMap returns a map for at most keys keys, or what memoryBytes hold when load, a share between 0 and 1, of the slots are in use.
func NewOffsetMap(memoryBytes, keys int64, load float64) (*OffsetMap, error) {
	n := max(memoryBytes/slotBytes, 2)
	if wanted := float64(max(keys, 1))/load + 2; wanted < float64(n) {
		n = int64(wanted)
	}
	memory, err := unix.Mmap(-1, 0, int(n*slotBytes), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("cleaner: map %d bytes for the offsets of keys: %w", n*slotBytes, err)
	}
	m := &OffsetMap{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, memory: memory}
	m.slots = unsafe.Slice((*slot)(unsafe.Pointer(unsafe.SliceData(memory))), n)
	m.limit = min(max(int(float64(n)*load), 1), int(n)-1) // one stays free, so that a search ends
	return m, nil
}

// Close gives the memory back. The map must not be used any more.
func (m *OffsetMap) Close() {
	if err := unix.Munmap(m.memory); err != nil {
		panic(fmt.Sprintf("BUG: cleaner: unmap %d bytes: %v", len(m.memory), err))
	}
	m.memory, m.slots = nil, nil
}

// Len is the number of keys.
func (m *OffsetMap) Len() int { return m.used }

// Full says how much of the keys that have room are there, between 0 and 1.
func (m *OffsetMap) Full() float64 { return float64(m.used) / float64(m.limit) }

// End is the offset behind the last record whose key was put.
func (m *OffsetMap) End() int64 { return m.end }

// find returns the slot of a key, or the free one where it belongs.
func (m *OffsetMap) find(key []byte) (s *slot, hash, check uint64) {
	hash, check = maphash.Bytes(m.seeds[0], key), maphash.Bytes(m.seeds[1], key)
	for i := hash % uint64(len(m.slots)); ; {
		s = &m.slots[i]
		if s.next == 0 || s.hash == hash && s.check == check {
			return s, hash, check
		}
		if i++; i == uint64(len(m.slots)) {
			i = 0
		}
	}
}

// put notes that the key's last offset is offset. False: there is no room for another key.
func (m *OffsetMap) put(key []byte, offset int64) bool {
	s, hash, check := m.find(key)
	if s.next == 0 {
		if m.used == m.limit {
			return false
		}
		m.used++
		s.hash, s.check = hash, check
	}
	s.next = offset + 1
	return true
}

// superseded says that the key has a record behind offset.
func (m *OffsetMap) superseded(key []byte, offset int64) bool {
	s, _, _ := m.find(key)
	return s.next > offset+1
}
