package netpoll

import (
	"container/heap"
	"sync"
	"time"
)

// mutes are the connections that are not served until a time. One timer serves all of them.
//
// A muted connection is treated as one that is held: nothing is delivered, what it sends is bounded by the inbound budget, and when it has sent
// more than an event loop may pile up it is moved to a goroutine, which does not read it, and ends it when the peer goes and has left nothing to serve. Responses
// leave as always.
type mutes struct {
	sync.Mutex
	list  muteList
	timer *time.Timer // nil until the first mute
	ends  bool        // the server is closing: nothing is muted any more
}

// mute is a connection's place in the list. Guarded by mutes, but for until.
type mute struct {
	at    time.Time // when the list looks at the connection; until may be later
	index int       // in the list, plus one; 0: not in it
}

// muteList is a heap by time.
type muteList []*Conn

func (l muteList) Len() int           { return len(l) }
func (l muteList) Less(i, j int) bool { return l[i].mute.at.Before(l[j].mute.at) }
func (l muteList) Swap(i, j int) {
	l[i], l[j] = l[j], l[i]
	l[i].mute.index, l[j].mute.index = i+1, j+1
}

func (l *muteList) Push(x any) {
	c := x.(*Conn)
	*l = append(*l, c)
	c.mute.index = len(*l)
}

func (l *muteList) Pop() any {
	last := len(*l) - 1
	c := (*l)[last]
	(*l)[last] = nil
	*l = (*l)[:last]
	c.mute.index = 0
	return c
}

// Mute has no further frame delivered for that long, beginning now; of several calls the one that lasts longest counts. Responses that were begun
// are sent nevertheless, and the connection is not idle meanwhile. Any goroutine.
func (c *Conn) Mute(d time.Duration) {
	if d <= 0 {
		return
	}
	m := &c.srv.mutes
	at := time.Now().Add(d)
	m.Lock()
	defer m.Unlock()
	if m.ends || c.gone() {
		return
	}
	if c.mute.index == 0 {
		c.mute.at = at
		c.muted.Store(true)
		heap.Push(&m.list, c)
	} else if at.After(c.mute.at) {
		c.mute.at = at
		heap.Fix(&m.list, c.mute.index-1)
	}
	m.armLocked(c.srv)
}

// gone says that the connection has ended, so that it must not enter a list any more: finish takes it out before it looks there.
func (c *Conn) gone() bool {
	c.mail.mu.Lock()
	defer c.mail.mu.Unlock()
	return c.mail.mu.dead
}

// armLocked sets the timer to the first of the list.
func (m *mutes) armLocked(s *Server) {
	if len(m.list) == 0 {
		return
	}
	d := time.Until(m.list[0].mute.at)
	if m.timer == nil {
		m.timer = time.AfterFunc(d, s.unmuteDue)
	} else {
		m.timer.Reset(d)
	}
}

// unmuteDue serves again those whose time has come.
func (s *Server) unmuteDue() {
	m := &s.mutes
	now := time.Now()
	m.Lock()
	var due []*Conn
	for len(m.list) > 0 && !m.list[0].mute.at.After(now) {
		c := heap.Pop(&m.list).(*Conn)
		c.rxTime.Store(s.now.Load()) // idle from now on
		c.muted.Store(false)
		due = append(due, c)
	}
	m.armLocked(s)
	m.Unlock()
	for _, c := range due {
		c.post(mailKick)
	}
}

// unmute takes a connection that has ended out of the list.
func (s *Server) unmute(c *Conn) {
	m := &s.mutes
	m.Lock()
	if c.mute.index > 0 {
		heap.Remove(&m.list, c.mute.index-1)
	}
	m.Unlock()
}

// end stops the timer.
func (m *mutes) end() {
	m.Lock()
	m.ends = true
	if m.timer != nil {
		m.timer.Stop()
	}
	m.Unlock()
}

// count is how many connections are muted.
func (m *mutes) count() int {
	m.Lock()
	defer m.Unlock()
	return len(m.list)
}
