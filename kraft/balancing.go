package kraft

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/kraft/balancer"
	"github.com/ringmq/ringmq/kraft/record"
)

// balancing carries out what package balancer decides, while this node's controller is active:
//
//	reports ──► loads ──► round (every DetectInterval, or when brokers come, go or drain) ──► plan ──► wave ──► ... ──► wave
//	                                                                                                  moveLeader, then wait until the new
//	                                                                                                  owners have opened the streams
//
// Everything in it is soft: a controller that loses its leadership drops it, and what was not moved yet stays where it is. mu is a leaf: it is never held while
// the controller's is taken.
type balancing struct {
	c *controller

	mu struct {
		sync.Mutex
		term    int64 // of which the rest is; 0: nothing is
		loads   *loads
		rounds  *balancer.Balancer
		plan    balancer.Plan // of the last round
		queue   []balancer.Move
		wave    []balancer.Move // under way
		waveAt  time.Time       // when it began
		nextAt  time.Time       // earliest next wave
		roundAt time.Time       // of the last round
		heard   int64           // reports taken before it
		members []member        // of the last round
	}
	known struct { // a leaf under mu: settings, and the keys set at run time that they were made of
		sync.Mutex
		all, mine []ConfigEntry
		settings  balancer.Settings
		valid     bool
	}
	counts struct {
		sync.Mutex
		rounds, begun, done, failed int64
		imbalance                   float64
	}
}

// member is what about a broker makes a round due when it changes.
type member struct {
	id                        int32
	epoch                     int64
	fenced, draining, trusted bool
}

const (
	// stepIdle and stepBusy are the times between two looks.
	stepIdle = time.Second
	stepBusy = 50 * time.Millisecond
)

func newBalancing(c *controller) *balancing { return &balancing{c: c} }

// view is the state that the controller works on, and its term; nil if it is not active.
func (c *controller) view() (*Image, int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.tail, c.mu.term
}

// run steps until stop is closed.
func (b *balancing) run(stop <-chan struct{}) {
	timer := time.NewTimer(stepIdle)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			timer.Reset(b.step(b.c.opts.Now()))
		case <-stop:
			return
		}
	}
}

// begin makes the state that of a term. mu is held.
func (b *balancing) begin(term int64, now time.Time) {
	if b.mu.term == term {
		return
	}
	if len(b.mu.queue)+len(b.mu.wave) > 0 {
		b.c.logger.Info("kraft: balancing ends with the leadership", "moves_left", len(b.mu.queue), "under_way", len(b.mu.wave))
	}
	b.mu.term, b.mu.loads, b.mu.rounds, b.mu.plan = term, newLoads(), balancer.New(), balancer.Plan{}
	b.mu.queue, b.mu.wave, b.mu.roundAt, b.mu.nextAt, b.mu.heard, b.mu.members = nil, nil, now, time.Time{}, 0, nil
}

// settings are the balancer's, with what is set at run time. They are made anew when that has changed.
func (b *balancing) settings(img *Image) balancer.Settings {
	f := b.c.opts.Balancer
	if f == nil {
		return balancer.Defaults()
	}
	all, mine := BrokerResource(-1), BrokerResource(b.c.opts.NodeID)
	k := &b.known
	k.Lock()
	defer k.Unlock()
	nowAll, nowMine := img.Configs(all), img.Configs(mine)
	if !k.valid || !slices.Equal(k.all, nowAll) || !slices.Equal(k.mine, nowMine) {
		k.all, k.mine, k.valid = nowAll, nowMine, true
		k.settings = f(func(key string) (string, bool) {
			if v, ok := img.Config(mine, key); ok {
				return v, true
			}
			return img.Config(all, key)
		})
	}
	return k.settings
}

// step does what is due, and returns when to look again.
func (b *balancing) step(now time.Time) time.Duration {
	img, term := b.c.view()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.begin(term, now)
	if term == 0 || img.NumBrokers() < 2 && len(b.mu.wave)+len(b.mu.queue) == 0 {
		return stepIdle
	}
	s := b.settings(img)
	if len(b.mu.wave) > 0 {
		b.await(img, now, s)
		return stepBusy
	}
	if len(b.mu.queue) > 0 {
		if !s.Enabled {
			b.mu.queue = slices.DeleteFunc(b.mu.queue, func(m balancer.Move) bool { return !m.Drains() })
		}
		if !now.Before(b.mu.nextAt) {
			b.launch(img, now, s)
		}
		return stepBusy
	}
	if b.due(img, now, s) {
		b.round(img, now, s)
	}
	return stepIdle
}

// due says whether it is time for a round: the interval is over and there are new figures, or the brokers are not those of the last round. mu is held.
func (b *balancing) due(img *Image, now time.Time, s balancer.Settings) bool {
	members := b.membersOf(img, now, s)
	changed := !slices.Equal(members, b.mu.members)
	b.mu.members = members
	return changed || now.Sub(b.mu.roundAt) >= s.DetectInterval && b.mu.loads.reports > b.mu.heard
}

func (b *balancing) membersOf(img *Image, now time.Time, s balancer.Settings) []member {
	members := make([]member, 0, img.NumBrokers())
	img.Brokers(func(kb *Broker) bool {
		trusted := b.mu.loads.doubt(kb, img.PartitionsLed(kb.ID), now, s.MetricsDelay) == ""
		members = append(members, member{kb.ID, kb.Epoch, kb.Fenced, kb.Draining, trusted})
		return true
	})
	return members
}

// round makes a plan and begins to carry it out. mu is held.
func (b *balancing) round(img *Image, now time.Time, s balancer.Settings) {
	b.mu.loads.follow(img)
	b.mu.plan = b.mu.rounds.Round(b.mu.loads.cluster(img, now, s), s)
	b.mu.roundAt, b.mu.heard = now, b.mu.loads.reports
	b.mu.queue = b.mu.plan.Moves
	if !s.Enabled {
		b.mu.queue = b.mu.plan.Drains()
	}
	b.counts.Lock()
	b.counts.rounds++
	b.counts.imbalance = b.mu.plan.Imbalance()
	b.counts.Unlock()
	if len(b.mu.queue) == 0 {
		return
	}
	why := make(map[string]int)
	for _, m := range b.mu.queue {
		why[m.Why]++
	}
	b.c.logger.Info("kraft: balancing", "round", b.mu.rounds.Rounds(), "moves", len(b.mu.queue), "why", why, "imbalance", b.mu.plan.Imbalance())
	b.launch(img, now, s)
}

// launch begins the next wave. mu is held; it is let go of meanwhile.
func (b *balancing) launch(img *Image, now time.Time, s balancer.Settings) {
	wave, rest := balancer.NextWave(b.mu.queue, balancer.DefaultWaveLimits(s.Concurrency, func(topic string) int {
		if t := img.Topic(topic); t != nil {
			return len(t.Partitions)
		}
		return 0
	}))
	term := b.mu.term
	b.mu.Unlock()
	begun, err := b.c.moveAll(term, wave)
	b.mu.Lock()
	if b.mu.term != term {
		return
	}
	if err != nil {
		b.c.logger.Warn("kraft: balancing: moves were not made, the next round decides anew", "moves", len(b.mu.queue), "cause", err)
		b.count(0, 0, len(wave))
		b.mu.queue = nil
		return
	}
	b.mu.queue, b.mu.wave, b.mu.waveAt = rest, begun, now
	b.count(len(begun), 0, len(wave)-len(begun))
}

// await looks which moves of the wave are finished. mu is held.
func (b *balancing) await(img *Image, now time.Time, s balancer.Settings) {
	before := len(b.mu.wave)
	b.mu.wave = slices.DeleteFunc(b.mu.wave, func(m balancer.Move) bool { return settled(img, m) })
	b.count(0, before-len(b.mu.wave), 0)
	switch {
	case len(b.mu.wave) == 0:
		b.mu.nextAt = b.mu.waveAt.Add(s.ExecutionInterval)
	case now.Sub(b.mu.waveAt) > s.StepTimeout:
		m := b.mu.wave[0]
		b.c.logger.Warn("kraft: balancing: moves take too long, the next round decides anew", "unfinished", len(b.mu.wave), "timeout", s.StepTimeout,
			"first", fmt.Sprintf("%s-%d", m.Topic, m.Partition), "from", m.From, "to", m.To, "moves_left", len(b.mu.queue))
		b.count(0, 0, len(b.mu.wave))
		b.mu.wave, b.mu.queue = nil, nil
	}
}

// settled says that nothing is left to wait for: the new leader has opened the stream, or never will.
func settled(img *Image, m balancer.Move) bool {
	s, ok := img.Stream(StreamID(m.ID))
	if !ok {
		return true // deleted
	}
	p := &img.TopicByID(s.Topic).Partitions[s.Partition]
	to := img.Broker(m.To)
	switch {
	case to == nil || to.Fenced:
		return true
	case p.Target == m.To:
		return false
	case p.Leader != m.To:
		return true
	}
	return s.Node == m.To && s.Epoch == int64(p.LeaderEpoch) && !s.Closed
}

func (b *balancing) count(begun, done, failed int) {
	b.counts.Lock()
	b.counts.begun += int64(begun)
	b.counts.done += int64(done)
	b.counts.failed += int64(failed)
	b.counts.Unlock()
}

// moveAll makes the moves that are still possible, as one change, and returns them.
func (c *controller) moveAll(term int64, moves []balancer.Move) (begun []balancer.Move, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.term != term {
		return nil, ErrNotController
	}
	t := c.begin()
	for _, m := range moves {
		s, ok := t.img().Stream(StreamID(m.ID))
		to := t.img().Broker(m.To)
		if !ok || to == nil || !t.usable(to) || to.Draining {
			continue
		}
		p := &t.img().TopicByID(s.Topic).Partitions[s.Partition]
		if _, _, busy := moving(t.img(), p); busy || p.Leader != m.From {
			continue
		}
		t.moveLeader(s.Topic, s.Partition, m.To)
		begun = append(begun, m)
	}
	_, err = c.propose(t)
	return begun, err
}

// serve answers the requests that change nothing in the log.
func (b *balancing) serve(req kmsg.Request) (kmsg.Response, error) {
	img, term := b.c.view()
	if term == 0 {
		return nil, ErrNotController
	}
	now := b.c.opts.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.begin(term, now)
	resp := &BalancerResponse{key: req.Key()}
	switch r := req.(type) {
	case *ReportLoadRequest:
		if err := b.mu.loads.take(img, r, now); err != nil {
			resp.Code, resp.Message = codeOf(err)
		}
	case *DescribeBalancerRequest:
		state, err := json.Marshal(b.describe(img, now, r.Plan))
		if err != nil {
			return nil, fmt.Errorf("kraft: balancer: %w", err)
		}
		resp.State = state
	}
	return resp, nil
}

// drainBroker marks a broker, or takes the mark away.
func (t *tx) drainBroker(r *DrainBrokerRequest) kmsg.Response {
	resp := &BalancerResponse{key: r.Key()}
	kb := t.img().Broker(r.Broker)
	if kb == nil {
		resp.Code, resp.Message = codeOf(refuse(CodeNotFound, "broker %d is not registered", r.Broker))
		return resp
	}
	if kb.Draining != r.Drain {
		t.add(&record.BrokerDraining{ID: r.Broker, Draining: r.Drain})
		t.c.logger.Info("kraft: broker is to drain", "broker", r.Broker, "drain", r.Drain, "partitions", t.img().PartitionsLed(r.Broker))
	}
	return resp
}

// BalancerState is what the active controller's balancer is at; tools show it.
type BalancerState struct {
	Controller int32           `json:"controller"`
	Term       int64           `json:"term"`
	Enabled    bool            `json:"enabled"`
	State      string          `json:"state"` // idle, moving, or why it waits
	Rounds     int64           `json:"rounds"`
	Begun      int64           `json:"moves_begun"`
	Done       int64           `json:"moves_done"`
	Failed     int64           `json:"moves_failed"`
	Imbalance  float64         `json:"last_imbalance"`
	UnderWay   []balancer.Move `json:"under_way"`
	Waiting    []balancer.Move `json:"waiting"`
	SinceRound int64           `json:"ms_since_round"` // -1 before the first
	Interval   int64           `json:"interval_ms"`
	Brokers    []BalancedNode  `json:"brokers"`
	Plan       *balancer.Plan  `json:"plan,omitempty"` // what it would do now; only when asked for
}

// BalancedNode is a broker in a BalancerState.
type BalancedNode struct {
	ID         int32  `json:"id"`
	Fenced     bool   `json:"fenced"`
	Draining   bool   `json:"draining"`
	Slow       bool   `json:"slow"`
	Partitions int    `json:"partitions"`
	ReportAge  int64  `json:"report_age_ms"` // -1: none yet
	Doubt      string `json:"doubt"`         // why its figures do not count, "" if they do
}

// describe is the state now. mu is held.
func (b *balancing) describe(img *Image, now time.Time, plan bool) BalancerState {
	s := b.settings(img)
	b.counts.Lock()
	out := BalancerState{Controller: b.c.opts.NodeID, Term: b.mu.term, Enabled: s.Enabled, State: "idle", Rounds: b.counts.rounds, Begun: b.counts.begun,
		Done: b.counts.done, Failed: b.counts.failed, Imbalance: b.counts.imbalance}
	b.counts.Unlock()
	out.UnderWay, out.Waiting = append([]balancer.Move{}, b.mu.wave...), append([]balancer.Move{}, b.mu.queue...)
	out.SinceRound, out.Interval = -1, s.DetectInterval.Milliseconds()
	if b.mu.rounds.Rounds() > 0 {
		out.SinceRound = now.Sub(b.mu.roundAt).Milliseconds()
	}
	slow := setOf(b.mu.rounds.Slow())
	img.Brokers(func(kb *Broker) bool {
		n := BalancedNode{ID: kb.ID, Fenced: kb.Fenced, Draining: kb.Draining, Slow: slow[kb.ID], Partitions: img.PartitionsLed(kb.ID), ReportAge: -1}
		n.Doubt = b.mu.loads.doubt(kb, n.Partitions, now, s.MetricsDelay)
		if l := b.mu.loads.brokers[kb.ID]; l != nil && l.epoch == kb.Epoch {
			n.ReportAge = now.Sub(l.last).Milliseconds()
		}
		out.Brokers = append(out.Brokers, n)
		return true
	})
	switch {
	case len(b.mu.wave)+len(b.mu.queue) > 0:
		out.State = "moving"
	case !s.Enabled:
		out.State = "switched off (autobalancer.controller.enable=false): it only drains"
	case len(out.Brokers) < 2:
		out.State = "there is one broker: nothing to balance"
	}
	if plan {
		b.mu.loads.follow(img)
		dry := s
		dry.Enabled = true
		p := b.mu.rounds.Clone().Round(b.mu.loads.cluster(img, now, s), dry)
		out.Plan = &p
	}
	return out
}

// BalancerStats are the balancer's counters since this node started, for metrics.
type BalancerStats struct {
	Active              bool // this node's controller is the active one
	Rounds              int64
	Begun, Done, Failed int64   // moves
	Imbalance           float64 // of the last round: the largest distance of a broker from where a goal wants it, as a share
	UnderWay, Waiting   int     // moves
	Slow                int     // brokers
}

// Balancer returns the balancer's counters; zero without the controller role.
func (n *Node) Balancer() BalancerStats {
	if n.ctl == nil {
		return BalancerStats{}
	}
	b := n.ctl.balancing
	b.counts.Lock()
	st := BalancerStats{Rounds: b.counts.rounds, Begun: b.counts.begun, Done: b.counts.done, Failed: b.counts.failed, Imbalance: b.counts.imbalance}
	b.counts.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.term > 0 {
		st.Active, st.UnderWay, st.Waiting, st.Slow = true, len(b.mu.wave), len(b.mu.queue), len(b.mu.rounds.Slow())
	}
	return st
}

// ReportLoad tells the active controller what this broker does. A report that is lost is made up for by the next one.
func (n *Node) ReportLoad(ctx context.Context, host HostLoad, parts []PartitionLoad) error {
	epoch, err := n.registered()
	if err != nil {
		return err
	}
	resp, err := n.Controller().Do(ctx, &ReportLoadRequest{Node: n.opts.NodeID, NodeEpoch: epoch, Host: host, Partitions: parts})
	if err != nil {
		return err
	}
	return resp.(*BalancerResponse).Err()
}

// ServeTool answers a private request that a tool sent to this node (see IsToolKey): it goes to the active controller, and the answer says in its code what went
// wrong. It returns what follows the correlation id of the response.
func (n *Node) ServeTool(ctx context.Context, key int16, body []byte) ([]byte, error) {
	if !IsToolKey(key) {
		return nil, fmt.Errorf("%w: requests of key %d are not for tools", ErrInvalid, key)
	}
	req := balancerRequest(key)
	if err := req.ReadFrom(body); err != nil {
		return nil, err
	}
	resp, err := n.Controller().Do(ctx, req)
	if err != nil {
		failed := &BalancerResponse{key: key}
		failed.Code, failed.Message = codeOf(err)
		resp = failed
	}
	return resp.AppendTo(nil), nil
}

var errNoState = errors.New("kraft: the answer has no state of the balancer")

// BalancerState decodes the answer to a DescribeBalancerRequest.
func (r *BalancerResponse) BalancerState() (s BalancerState, err error) {
	if len(r.State) == 0 {
		return s, errNoState
	}
	if err := json.Unmarshal(r.State, &s); err != nil {
		return s, fmt.Errorf("kraft: state of the balancer: %w", err)
	}
	return s, nil
}
