package kraft

import (
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// book says where the members of the quorum can be reached. It begins with what the configuration says, and follows the image as soon as that
// knows the members: an old configuration costs a node nothing but the first contact. Its methods may be called from any goroutine.
type book struct {
	configured map[int32]string // controller.quorum.voters
	bootstrap  []string         // controller.quorum.bootstrap.servers: some controllers, without their ids
	page       atomic.Pointer[page]

	quiet struct { // addresses of controllers that have not answered an observer lately
		sync.Mutex
		until map[string]time.Time // when they may be asked again
	}

	strangers struct { // addresses of nodes of this cluster that this book does not know, and that know this node
		sync.Mutex
		addrs []string // at most maxStrangers, newest last
	}
}

// page is one state of the book. It is immutable.
type page struct {
	voters []Voter          // of the image; nil while only the configuration is known
	addrs  map[int32]string // host:port of each member
}

const (
	// noNode is the id of a controller of which only the address is known.
	noNode int32 = -1
	// maxStrangers bounds what strangers can make a node remember.
	maxStrangers = 8
	// silentFor is how long a controller that did not answer is asked only if there is no other one.
	silentFor = 2 * time.Second
)

func newBook(o Options) *book {
	b := &book{configured: o.Voters, bootstrap: o.Bootstrap}
	b.page.Store(&page{addrs: maps.Clone(o.Voters)})
	return b
}

// follow makes the book say what an image says, and reports whether that is new. It belongs to the goroutine that publishes images.
func (b *book) follow(img *Image) bool {
	voters, old := img.Voters(), b.page.Load()
	if len(voters) == 0 || len(old.voters) == len(voters) && &old.voters[0] == &voters[0] {
		return false
	}
	p := &page{voters: voters, addrs: make(map[int32]string, len(voters))}
	for _, v := range voters {
		if len(v.Endpoints) > 0 {
			p.addrs[v.ID] = endpointAddr(v.Endpoints[0])
		} else if addr, ok := b.configured[v.ID]; ok {
			p.addrs[v.ID] = addr
		}
	}
	b.page.Store(p)
	return true
}

func endpointAddr(e BrokerEndpoint) string {
	return net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))
}

// addr is the address of a member.
func (b *book) addr(id int32) (string, bool) {
	addr, ok := b.page.Load().addrs[id]
	return addr, ok
}

// member finds a member by id. known is false while the image does not say who they are.
func (b *book) member(id int32) (v Voter, ok, known bool) {
	p := b.page.Load()
	i, ok := slices.BinarySearchFunc(p.voters, id, func(v Voter, id int32) int { return int(v.ID) - int(id) })
	if !ok {
		return Voter{}, false, p.voters != nil
	}
	return p.voters[i], true, true
}

// heard notes where a node of this cluster that is no member in this book can be asked: the book may be old.
func (b *book) heard(addr string) {
	if addr == "" {
		return
	}
	s := &b.strangers
	s.Lock()
	defer s.Unlock()
	s.addrs = append(slices.DeleteFunc(s.addrs, func(a string) bool { return a == addr }), addr)
	s.addrs = s.addrs[max(0, len(s.addrs)-maxStrangers):]
}

// silent notes whether a controller has just left a question without an answer.
func (b *book) silent(addr string, yes bool) {
	q := &b.quiet
	q.Lock()
	defer q.Unlock()
	if !yes {
		delete(q.until, addr)
		return
	}
	if q.until == nil {
		q.until = make(map[string]time.Time)
	}
	now := time.Now()
	maps.DeleteFunc(q.until, func(_ string, until time.Time) bool { return now.After(until) })
	q.until[addr] = now.Add(silentFor)
}

// isSilent says whether a controller did not answer lately.
func (b *book) isSilent(addr string) bool {
	b.quiet.Lock()
	defer b.quiet.Unlock()
	return time.Now().Before(b.quiet.until[addr])
}

// any picks a controller other than self at random, a member or whoever else may know, of those that answer if there are any, else the one whose
// silence is oldest. Its id is noNode when only the
// address is known, which is "" when there is nobody.
func (b *book) any(self int32) (id int32, addr string) {
	p := b.page.Load()
	var ids []int32
	var addrs []string
	add := func(id int32, addr string) {
		if id != self && addr != "" && !slices.Contains(addrs, addr) && addr != p.addrs[self] {
			ids, addrs = append(ids, id), append(addrs, addr)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(p.addrs)) {
		add(id, p.addrs[id])
	}
	for _, id := range slices.Sorted(maps.Keys(b.configured)) {
		add(noNode, b.configured[id])
	}
	for _, addr := range b.bootstrap {
		add(noNode, addr)
	}
	b.strangers.Lock()
	for _, addr := range b.strangers.addrs {
		add(noNode, addr)
	}
	b.strangers.Unlock()
	if len(ids) == 0 {
		return noNode, p.addrs[self]
	}
	b.quiet.Lock()
	defer b.quiet.Unlock()
	now := time.Now()
	silence := func(i int) time.Time { // zero if it may be asked
		if until := b.quiet.until[addrs[i]]; until.After(now) {
			return until
		}
		return time.Time{}
	}
	from := rand.IntN(len(ids))
	best := from
	for i := range ids {
		if n := (from + i) % len(ids); silence(n).Before(silence(best)) {
			best = n
		}
	}
	return ids[best], addrs[best]
}
