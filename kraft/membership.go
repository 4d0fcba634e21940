package kraft

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/kraft/internal/wire"
)

// keyHello asks a controller who it is.
const keyHello int16 = 1030

// defaultVoterTimeout is how long AddRaftVoter waits for a new voter to catch up when the request does not say.
const defaultVoterTimeout = 30 * time.Second

// hello is the question and the answer of keyHello.
type hello struct {
	clusterID string
	node      int32
	directory [16]byte
	voter     bool // it has the controller role
}

func (m *hello) append(dst []byte) []byte {
	dst = wire.AppendString(dst, m.clusterID)
	dst = wire.AppendVarint(dst, int64(m.node))
	dst = append(dst, m.directory[:]...)
	return wire.AppendBool(dst, m.voter)
}

func (m *hello) read(b []byte) error {
	d := wire.NewReader(b)
	m.clusterID, m.node = d.String(), d.Int32()
	d.Array(m.directory[:])
	m.voter = d.Bool()
	return d.Close()
}

func (n *Node) hello() hello {
	return hello{clusterID: n.opts.ClusterID, node: n.opts.NodeID, directory: n.directory, voter: n.opts.Roles.Controller}
}

// serveHello answers whoever asks: the asker judges.
func (n *Node) serveHello(body []byte) ([]byte, error) {
	var m hello
	if err := m.read(body); err != nil {
		return nil, err
	}
	h := n.hello()
	return h.append(nil), nil
}

// uuidText is Kafka's form of a UUID.
func uuidText(id [16]byte) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// addVoter makes another controller a voter. It returns when the change is committed.
func (n *Node) addVoter(ctx context.Context, r *kmsg.AddRaftVoterRequest) (kmsg.Response, error) {
	resp := r.ResponseKind().(*kmsg.AddRaftVoterResponse)
	timeout := time.Duration(r.TimeoutMillis) * time.Millisecond
	if timeout <= 0 {
		timeout = defaultVoterTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	v := Voter{ID: r.VoterID, Directory: r.VoterDirectoryID}
	for _, l := range r.Listeners {
		v.Endpoints = append(v.Endpoints, BrokerEndpoint{Name: l.Name, Host: l.Host, Port: l.Port})
	}
	err := n.add(ctx, r.ClusterID, v)
	if errors.Is(err, ErrNotController) {
		return nil, err // the next leader goes on
	}
	if code, text := quorumError(err); code != 0 {
		resp.ErrorCode, resp.ErrorMessage = code, &text
	}
	return resp, nil
}

// quorumError turns an error into what a response carries.
func quorumError(err error) (code int16, text string) {
	var refusal *kafkaError
	switch {
	case err == nil:
		return 0, ""
	case errors.As(err, &refusal):
		return refusal.code, refusal.text
	case errors.Is(err, errBusy):
		return kafkaNotLeader, err.Error()
	case errors.Is(err, ErrTimeout):
		return kafkaRequestTimedOut, err.Error()
	}
	return kafkaUnknownServerError, err.Error()
}

func (n *Node) add(ctx context.Context, clusterID *string, v Voter) error {
	switch {
	case clusterID != nil && *clusterID != n.opts.ClusterID:
		return &kafkaError{kafkaInconsistentClusterID, fmt.Sprintf("This is cluster %s, not %s.", n.opts.ClusterID, *clusterID)}
	case v.ID < 0 || v.Directory == [16]byte{} || len(v.Endpoints) == 0 || len(v.Endpoints) > maxEndpoints:
		return &kafkaError{kafkaInvalidRequest, "A voter needs an id, a directory id and a listener."}
	}
	if err := n.lockMembers(ctx); err != nil {
		return err
	}
	defer n.unlockMembers()
	if !n.ctl.active() {
		return ErrNotController
	}
	// Whether it is a voter already is looked at before the node is asked, and again when it becomes a learner.
	if _, _, err := learn(v)(n.Image().Voters()); err != nil {
		return err
	}
	if err := n.meet(ctx, v); err != nil {
		return err
	}
	if err := n.ctl.changeVoters(ctx, learn(v)); err != nil {
		return err
	}
	n.logger.Info("kraft: controller is being added to the quorum", "node", v.ID, "address", endpointAddr(v.Endpoints[0]))
	if err := n.caughtUp(ctx, v.ID); err != nil {
		undo, cancel := context.WithTimeout(n.ctx, electionTicks*n.opts.Tick)
		defer cancel()
		return errors.Join(err, n.ctl.changeVoters(undo, expel(v.ID, v.Directory)))
	}
	if err := n.ctl.changeVoters(ctx, promote(v)); err != nil {
		return err
	}
	n.logger.Info("kraft: controller is a voter now", "node", v.ID)
	return nil
}

// meet looks whether the node that is to become a voter is where it is said to be, and what it is said to be.
func (n *Node) meet(ctx context.Context, v Voter) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	addr, me := endpointAddr(v.Endpoints[0]), n.hello()
	b, err := n.client.call(ctx, addr, keyHello, me.append(nil))
	var h hello
	if err == nil {
		err = h.read(b)
	}
	refusal := &kafkaError{code: kafkaInvalidRequest}
	switch {
	case err != nil:
		return &kafkaError{kafkaRequestTimedOut, fmt.Sprintf("The new voter %d does not answer at %s: %v", v.ID, addr, err)}
	case h.clusterID != n.opts.ClusterID:
		refusal.code = kafkaInconsistentClusterID
		refusal.text = fmt.Sprintf("The node at %s belongs to cluster %s, this is %s.", addr, h.clusterID, n.opts.ClusterID)
	case h.node != v.ID || h.directory != v.Directory:
		refusal.text = fmt.Sprintf("At %s is %s, not %s.", addr, voterKey(h.node, h.directory), voterKey(v.ID, v.Directory))
	case !h.voter:
		refusal.text = fmt.Sprintf("Node %d at %s has not the controller role.", v.ID, addr)
	default:
		return nil
	}
	return refusal
}

// caughtUp returns when a member has on its disk everything that is committed now.
func (n *Node) caughtUp(ctx context.Context, id int32) error {
	target := n.core.status.Load().commit
	ticker := time.NewTicker(n.opts.Tick)
	defer ticker.Stop()
	match := int64(0)
	for {
		st := n.core.status.Load()
		if !st.isLeader {
			return ErrNotController
		}
		for _, f := range st.followers {
			if f.ID == id {
				match = f.Match
			}
		}
		if match >= target {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return &kafkaError{kafkaRequestTimedOut, fmt.Sprintf("The new voter %d has not caught up in time: it has %d of %d records of the log.", id, match, target)}
		case <-n.stopping:
			return ErrClosed
		}
	}
}

// removeVoter takes a voter out of the quorum. It goes on as an observer.
func (n *Node) removeVoter(ctx context.Context, r *kmsg.RemoveRaftVoterRequest) (kmsg.Response, error) {
	resp := r.ResponseKind().(*kmsg.RemoveRaftVoterResponse)
	err := n.remove(ctx, r)
	if errors.Is(err, ErrNotController) {
		return nil, err // the next leader does it
	}
	if code, text := quorumError(err); code != 0 {
		resp.ErrorCode, resp.ErrorMessage = code, &text
	}
	return resp, nil
}

func (n *Node) remove(ctx context.Context, r *kmsg.RemoveRaftVoterRequest) error {
	if r.ClusterID != nil && *r.ClusterID != n.opts.ClusterID {
		return &kafkaError{kafkaInconsistentClusterID, fmt.Sprintf("This is cluster %s, not %s.", n.opts.ClusterID, *r.ClusterID)}
	}
	if err := n.lockMembers(ctx); err != nil {
		return err
	}
	defer n.unlockMembers()
	if !n.ctl.active() {
		return ErrNotController
	}
	decide := expel(r.VoterID, r.VoterDirectoryID)
	if _, _, err := decide(n.Image().Voters()); err != nil {
		return err
	}
	if r.VoterID == n.opts.NodeID {
		n.logger.Info("kraft: this controller is to leave the quorum: it hands the leadership over")
		n.resign(ctx)
		if !n.core.status.Load().isLeader {
			return ErrNotController
		}
	}
	if err := n.ctl.changeVoters(ctx, decide); err != nil {
		return err
	}
	n.logger.Info("kraft: controller was removed from the quorum", "node", r.VoterID)
	return nil
}

// lockMembers lets one change of the members run at a time.
func (n *Node) lockMembers(ctx context.Context) error {
	select {
	case n.members <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &kafkaError{kafkaRequestTimedOut, "Another change of the voters is under way."}
	}
}

func (n *Node) unlockMembers() { <-n.members }

// isMember says whether this very node, with this directory, is a member; known is false while nobody has told.
func (n *Node) isMember() (member, known bool) {
	v, ok, known := n.book.member(n.opts.NodeID)
	return ok && (v.Directory == n.directory || v.Directory == [16]byte{} || n.directory == [16]byte{}), known
}

// announce tells the active controller where this voter is, until the image shows it.
func (n *Node) announce() {
	retry := routeRetryMax
	for {
		err := n.applier.wait(n.ctx, n.stopping, func(img *Image) bool { return len(img.Voters()) > 0 })
		if err != nil {
			return
		}
		v, ok, _ := n.book.member(n.opts.NodeID)
		member, _ := n.isMember()
		switch {
		case ok && !member:
			n.logger.Error("kraft: the quorum knows this node with another metadata directory: after the loss of a disk, remove the old voter and add this one "+
				"(kafka-metadata-quorum remove-controller, add-controller)", "node", n.opts.NodeID, "directory", uuidText(n.directory), "known", uuidText(v.Directory))
			return
		case !ok || v.Directory == n.directory && slices.Equal(v.Endpoints, n.endpoints):
			return
		}
		if err := n.announceOnce(); err == nil {
			continue
		} else if n.ctx.Err() == nil {
			n.logger.Debug("kraft: the quorum was not told where this voter is", "cause", err)
		}
		select {
		case <-time.After(retry):
		case <-n.stopping:
			return
		}
	}
}

func (n *Node) announceOnce() error {
	req := kmsg.NewPtrUpdateRaftVoterRequest()
	req.ClusterID, req.CurrentLeaderEpoch, req.VoterID, req.VoterDirectoryID = &n.opts.ClusterID, -1, n.opts.NodeID, n.directory
	for _, e := range n.endpoints {
		req.Listeners = append(req.Listeners, kmsg.UpdateRaftVoterRequestListener{Name: e.Name, Host: e.Host, Port: e.Port})
	}
	resp, err := n.Controller().Do(n.ctx, req)
	if err != nil {
		return err
	}
	if code := resp.(*kmsg.UpdateRaftVoterResponse).ErrorCode; code != 0 {
		return fmt.Errorf("kraft: update of voter %d: Kafka error code %d", n.opts.NodeID, code)
	}
	return nil
}
