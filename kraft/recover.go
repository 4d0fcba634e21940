package kraft

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/ringmq/ringmq/kraft/internal/raftlog"
	"github.com/ringmq/ringmq/kraft/record"
)

// When so many voters have lost their disks that the rest is no majority, nothing can be committed any more, and no request can change who the voters are.
// RecoverQuorum writes the change into the log of a voter that is left, while it is stopped: one more entry, in a term of its own, committed by decree. The
// node then starts as the only voter, with everything that is in its log, and others can be added.
//
// Removing a voter by RemoveRaftVoter never leads there. Such a change is committed by a majority of the voters before it, of two by both, and is confirmed when it
// is committed on the leader's disk: whoever is left starts with the quorum that was confirmed.

// ErrRecoveryRefused: the quorum may be whole, or this is not the node to go on with. Nothing was changed.
var ErrRecoveryRefused = errors.New("kraft: recovery of the quorum refused")

// QuorumRecovery is what a voter's log says of the quorum, and of the other voters.
type QuorumRecovery struct {
	Node      int32
	Directory [16]byte
	Dir       string
	Committed int64 // offset up to which the log is known to be committed
	Last      int64 // offset of the last record, which is kept
	Term      int64
	Lost      []LostVoter
	Topics    int
	Brokers   int
}

// LostVoter is another voter of a quorum that is to be recovered.
type LostVoter struct {
	ID        int32
	Directory [16]byte // zero if it is not known
	Addr      string   // "" if it is not known
	Silence   error    // why it counts as lost: what came of asking it
}

// RecoverQuorum makes a stopped voter the only one. The options are those of the node. lost names every other voter; nil only looks, and changes nothing. It
// returns ErrRecoveryRefused when the node runs, is no voter or the only one, when lost is not who the other voters are, and when one of them answers: a
// majority that is alive must not be left behind. What only the others had is lost; that is nothing that was acknowledged if this node was in every majority, as each of
// two voters is. A lost voter must never start again with its old directory: two of three such voters would go on as the quorum that they were.
func RecoverQuorum(ctx context.Context, o Options, lost []int32) (r QuorumRecovery, err error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return r, err
	}
	if !o.Roles.Controller {
		return r, fmt.Errorf("%w: node %d has not the controller role", ErrRecoveryRefused, o.NodeID)
	}
	if _, err := os.Stat(filepath.Join(o.Dir, identityFile)); err != nil {
		return r, fmt.Errorf("%w: %s is no metadata directory of a controller: %w", ErrRecoveryRefused, o.Dir, err)
	}
	lock, id, err := claimDir(o)
	if err != nil {
		return r, fmt.Errorf("%w: %w", ErrRecoveryRefused, err)
	}
	defer lock.Close()
	log, rec, err := raftlog.Open(raftlog.Options{
		Dir: o.Dir, ClusterID: o.ClusterID, Identity: id.text, SegmentBytes: o.SegmentBytes, Logger: o.Logger,
		Conf: func(img *Image) *pb.ConfState { return confOf(img, id.founders) },
	})
	if err != nil {
		return r, fmt.Errorf("kraft: %w", err)
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	r = QuorumRecovery{Node: o.NodeID, Directory: id.directory, Dir: o.Dir, Committed: int64(rec.HardState.GetCommit()), Term: int64(rec.HardState.GetTerm())}
	others, err := r.read(o, id, log, rec.Image)
	if err != nil {
		return r, err
	}
	if err := r.askAround(ctx, o); err != nil {
		return r, err
	}
	if lost == nil {
		return r, nil
	}
	if want := slices.Sorted(slices.Values(lost)); !slices.Equal(want, others) {
		return r, fmt.Errorf("%w: the other voters are %d, not %d", ErrRecoveryRefused, others, want)
	}
	return r, r.decree(log, Voter{ID: o.NodeID, Directory: id.directory, Endpoints: controllerEndpoints(o)})
}

// read looks at the whole log, and returns the other voters of the configuration with which the node would start.
func (r *QuorumRecovery) read(o Options, id identity, log *raftlog.Log, img *Image) (others []int32, err error) {
	storage := log.Storage()
	_, conf, err := firstConf(storage)
	if err != nil {
		return nil, err
	}
	if conf == nil {
		conf = confOf(img, id.founders)
	}
	known := make(map[int32]Voter) // every member that the log knows, as it says last
	note := func(img *Image) {
		for _, v := range img.Voters() {
			known[v.ID] = v
		}
	}
	note(img)
	first, last, err := logRange(storage)
	if err != nil {
		return nil, err
	}
	for first <= last {
		ents, err := storage.Entries(first, last+1, maxBatchBytes)
		if err != nil {
			return nil, fmt.Errorf("kraft: raft log: %w", err)
		}
		if img, err = follow(img, ents, note); err != nil {
			return nil, err
		}
		r.Term = max(r.Term, int64(ents[len(ents)-1].GetTerm()))
		first += uint64(len(ents))
	}
	r.Last, r.Topics, r.Brokers = int64(last), img.NumTopics(), img.NumBrokers()
	self := false
	for _, raft := range conf.Voters {
		n := nodeID(raft)
		if n == o.NodeID {
			self = true
			continue
		}
		v := known[n]
		x := LostVoter{ID: n, Directory: v.Directory, Addr: o.Voters[n]}
		if len(v.Endpoints) > 0 {
			x.Addr = endpointAddr(v.Endpoints[0])
		}
		r.Lost, others = append(r.Lost, x), append(others, n)
	}
	switch v := known[o.NodeID]; {
	case !self:
		return nil, fmt.Errorf("%w: node %d is no voter of its quorum, and may not have what was acknowledged", ErrRecoveryRefused, o.NodeID)
	case v.Directory != [16]byte{} && v.Directory != id.directory:
		return nil, fmt.Errorf("%w: the voter %d has metadata directory %s, this one is %s", ErrRecoveryRefused, o.NodeID, uuidText(v.Directory), uuidText(id.directory))
	case len(others) == 0:
		return nil, fmt.Errorf("%w: node %d is the only voter: it needs nobody to start", ErrRecoveryRefused, o.NodeID)
	}
	slices.Sort(others)
	return others, nil
}

func logRange(storage interface {
	FirstIndex() (uint64, error)
	LastIndex() (uint64, error)
}) (first, last uint64, err error) {
	if first, err = storage.FirstIndex(); err == nil {
		last, err = storage.LastIndex()
	}
	if err != nil {
		return 0, 0, fmt.Errorf("kraft: raft log: %w", err)
	}
	return first, last, nil
}

// follow is the image with entries applied, be they committed or not.
func follow(img *Image, raw []*pb.Entry, each func(*Image)) (*Image, error) {
	ents, err := entriesOf(raw)
	if err != nil {
		return nil, err
	}
	for _, e := range ents {
		if e.index <= img.Offset() {
			continue
		}
		b := img.Edit()
		if err := applyBatch(b, e); err != nil {
			return nil, err
		}
		img, _ = b.Build(e.index, e.term)
		each(img)
	}
	return img, nil
}

// askAround asks the other voters, all at once. It refuses when one is there.
func (r *QuorumRecovery) askAround(ctx context.Context, o Options) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c := newClient(newDialer(o.DialTLS, o.Logger))
	defer c.close()
	me := hello{clusterID: o.ClusterID, node: o.NodeID, directory: r.Directory, voter: true}
	alive := make([]error, len(r.Lost))
	var asked sync.WaitGroup
	for i := range r.Lost {
		v := &r.Lost[i]
		if v.Addr == "" {
			v.Silence = errors.New("nobody knows its address")
			continue
		}
		asked.Go(func() {
			b, err := c.call(ctx, v.Addr, keyHello, me.append(nil))
			var h hello
			if err == nil {
				err = h.read(b)
			}
			var dial *net.OpError
			stranger := err == nil && (h.clusterID != o.ClusterID || h.node != v.ID || v.Directory != [16]byte{} && h.directory != v.Directory)
			switch {
			case stranger:
				v.Silence = fmt.Errorf("at its address is %s of cluster %s now", voterKey(h.node, h.directory), h.clusterID)
			case err == nil:
				alive[i] = fmt.Errorf("voter %d answers at %s", v.ID, v.Addr)
			case !errors.As(err, &dial) || dial.Op != "dial":
				alive[i] = fmt.Errorf("something listens at %s, the address of voter %d, and does not say what it is (%w): end it first", v.Addr, v.ID, err)
			default:
				v.Silence = err
			}
		})
	}
	asked.Wait()
	if err := errors.Join(alive...); err != nil {
		return fmt.Errorf("%w: %w", ErrRecoveryRefused, err)
	}
	return nil
}

// decree writes down that v is the only voter.
func (r *QuorumRecovery) decree(log *raftlog.Log, v Voter) error {
	at, term := uint64(r.Last)+1, uint64(r.Term)+1 // nobody has led in that term, so there is no other entry like this one
	change := &pb.ConfChangeV2{Context: record.AppendBatch(nil, record.Batch{
		Origin: record.Origin{Node: v.ID, Term: int64(term)}, Records: []record.Record{&record.VoterSet{Voters: []Voter{v}}},
	})}
	for _, x := range r.Lost {
		change.Changes = append(change.Changes, changed(pb.ConfChangeRemoveNode, x.ID))
	}
	data, err := proto.Marshal(change)
	if err != nil {
		return fmt.Errorf("kraft: %w", err)
	}
	entry := &pb.Entry{Type: pb.EntryConfChangeV2.Enum(), Index: &at, Term: &term, Data: data}
	// An end in between leaves an entry that is not committed, with the old quorum in force: the command can be given again.
	if err := log.Append(&pb.HardState{Term: &term, Vote: new(uint64(0)), Commit: new(uint64(r.Last))}, []*pb.Entry{entry}); err != nil {
		return fmt.Errorf("kraft: %w", err)
	}
	if err := log.Commit(int64(at)); err != nil {
		return fmt.Errorf("kraft: %w", err)
	}
	r.Committed, r.Last, r.Term = int64(at), int64(at), int64(term)
	return nil
}
