package streams

import (
	"math"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/group/consumer"
)

// maxString is the longest string that a key can hold.
const maxString = math.MaxInt16

// ValidateHeartbeat judges a request by itself: what Kafka 4.3 does not support first.
func ValidateHeartbeat(req *kmsg.StreamsGroupHeartbeatRequest) *Error {
	if err := validateSupported(req); err != nil {
		return err
	}
	invalid := func(message string) *Error { return &Error{Code: consumer.CodeInvalidRequest, Message: message} }
	empty := func(s *string) bool { return s != nil && strings.TrimSpace(*s) == "" }
	joins := req.MemberEpoch == consumer.EpochJoin
	switch {
	case empty(&req.MemberID):
		return invalid("MemberId can't be empty.")
	case empty(&req.Group):
		return invalid("GroupId can't be empty.")
	case empty(req.RackID):
		return invalid("RackId can't be empty.")
	case joins && req.RebalanceTimeoutMillis == -1:
		return invalid("RebalanceTimeoutMs must be provided in first request.")
	case joins && len(req.ActiveTasks) > 0:
		return invalid("ActiveTasks must be empty when (re-)joining.")
	case joins && len(req.StandbyTasks) > 0:
		return invalid("StandbyTasks must be empty when (re-)joining.")
	case joins && req.Topology == nil:
		return invalid("Topology must be non-null when (re-)joining.")
	case req.MemberEpoch == consumer.EpochLeaveStatic:
		return invalid("InstanceId can't be null.")
	case req.MemberEpoch < consumer.EpochLeaveStatic:
		return refuse(consumer.CodeInvalidRequest, "MemberEpoch is %d, but must be greater than or equal to -2.", req.MemberEpoch)
	}
	if joins {
		for i := range req.Topology.Subtopologies {
			for _, c := range req.Topology.Subtopologies[i].StateChangelogTopics {
				if c.NumPartitions != 0 {
					return refuse(CodeInvalidTopology, "Changelog topic %s must have an undefined partition count, but it is set to %d.", c.Topic, c.NumPartitions)
				}
			}
		}
	}
	switch said := []bool{req.ActiveTasks != nil, req.StandbyTasks != nil, req.WarmupTasks != nil}; {
	case slices.Contains(said, true) && slices.Contains(said, false):
		return invalid("If one task-type is non-null, all must be non-null.")
	case !joins && req.Topology != nil:
		return invalid("Topology can only be provided when (re-)joining.")
	}
	for _, s := range []*string{&req.MemberID, req.RackID, req.ProcessID} {
		if s != nil && len(*s) > maxString {
			return refuse(consumer.CodeInvalidRequest, "A string of the request is longer than %d bytes.", maxString)
		}
	}
	return nil
}

func validateSupported(req *kmsg.StreamsGroupHeartbeatRequest) *Error {
	unsupported := ""
	switch {
	case req.InstanceID != nil:
		unsupported = "Static membership is not yet supported."
	case req.TaskOffsets != nil:
		unsupported = "TaskOffsets are not supported yet."
	case req.TaskEndOffsets != nil:
		unsupported = "TaskEndOffsets are not supported yet."
	case len(req.WarmupTasks) > 0:
		unsupported = "WarmupTasks are not supported yet."
	case req.Topology != nil && slices.ContainsFunc(req.Topology.Subtopologies, func(s kmsg.StreamsGroupHeartbeatRequestTopologySubtopology) bool { return len(s.SourceTopicRegex) > 0 }):
		unsupported = "Regular expressions for source topics are not supported yet."
	default:
		return nil
	}
	return &Error{Code: consumer.CodeInvalidRequest, Message: unsupported}
}

// Outcome is what a heartbeat did, and what its answer shows.
type Outcome struct {
	Member *Member
	// Moved: the current assignment is another; the deadline for giving up tasks starts anew, or ends.
	Moved bool
	// Told: the answer shows the assignment.
	Told bool
	// Delay, when it is not 0: EndDelay is to be called after so many milliseconds.
	Delay          int64
	Statuses       []Status
	Missing        []NewTopic // internal topics to create
	Endpoints      []EndpointTasks
	TellEndpoints  bool // the answer has Endpoints
	EndpointsEpoch int32
}

// Heartbeat serves a valid request of a member that does not leave. After an error nothing has changed.
func (g *Group) Heartbeat(env *Env, clientID, host string, req *kmsg.StreamsGroupHeartbeatRequest) (Outcome, *Error) {
	fresh := g.topology == nil // the group begins with this request
	old, err := g.sender(env, req)
	if err != nil {
		return Outcome{}, err
	}
	next := updated(old, clientID, host, req)
	topology, err := g.topologyFor(req)
	if err != nil {
		return Outcome{}, err
	}
	if err := g.admit(env, old, next, topology); err != nil {
		return Outcome{}, err
	}
	laid, hash, err := g.lay(env, topology)
	if err != nil {
		return Outcome{}, err
	}
	owned := reported(req)
	if err := laid.knows(owned); err != nil {
		return Outcome{}, err
	}
	if err := confused(old, owned); err != nil {
		return Outcome{}, err
	}
	var out Outcome
	if g.topology != nil && next.TopologyEpoch < g.topology.Epoch {
		out.Statuses = append(out.Statuses, staleTopology(next.TopologyEpoch, g.topology.Epoch))
	}
	empty := len(g.members) == 0
	bump := g.takeMember(old, next)
	if g.topology != topology {
		g.topology = topology
		g.mark(KindTopology, "")
	}
	bump = bump || hash != g.hash || laid.validated(topology) != g.validated || env.Standbys != g.standbys
	g.layout, g.hash, g.hashVersion, g.validated, g.standbys = laid, hash, env.Topics.Version(), laid.validated(topology), env.Standbys
	if bump {
		g.Epoch++
		g.mark(KindGroup, "")
	}
	if empty && env.InitialDelay > 0 && !g.delaying {
		g.delaying, out.Delay = true, env.InitialDelay
	}
	m := g.members[next.ID]
	out.Member = m
	g.updateTarget(env, &out)
	before := m.Assigned
	epoch, target := g.targetOf(m)
	out.Moved = g.reconcile(m, epoch, target, owned)
	if req.ShutdownApplication {
		g.askShutdown(m.ID)
	}
	changed := req.MemberEpoch == consumer.EpochJoin || !m.Assigned.equal(&before)
	// A member that has other tasks than it was told may not have got the answer that told it.
	out.Told = changed || owned != nil && !(owned.within(&m.Assigned) && owned.Count() == m.Assigned.Count())
	g.tellEndpoints(env, &out, req.EndpointInformationEpoch, changed, fresh)
	if laid.problem != nil {
		out.Statuses = append(out.Statuses, *laid.problem)
		out.Missing = laid.missing
	}
	if g.shutdown != nil {
		out.Statuses = append(out.Statuses, Status{ShutdownApplication, "Streams group member " + *g.shutdown +
			" encountered a fatal error and requested a shutdown for the entire application."})
	}
	return out, nil
}

// sender finds the member that a heartbeat is from: nil, without error, for one that is to be made.
func (g *Group) sender(env *Env, req *kmsg.StreamsGroupHeartbeatRequest) (*Member, *Error) {
	m := g.members[req.MemberID]
	if req.MemberEpoch == consumer.EpochJoin {
		if len(g.members) >= env.MaxSize {
			return nil, refuse(consumer.CodeGroupMaxSizeReached, "The streams group has reached its maximum capacity of %d members.", env.MaxSize)
		}
		return m, nil
	}
	if m == nil {
		return nil, g.unknownMember(req.MemberID)
	}
	const rejoin = "The streams group member has a %s member epoch (%d) than the one known by the group coordinator (%d). The member must abandon all its partitions and rejoin."
	switch got := req.MemberEpoch; {
	case got > m.Epoch:
		return nil, refuse(consumer.CodeFencedMemberEpoch, rejoin, "greater", got, m.Epoch)
	case got < m.Epoch:
		// The answer that told the present epoch may have been lost: then the member has nothing beyond it.
		if owned := reported(req); got != m.Previous || owned == nil || !owned.within(&m.Assigned) {
			return nil, refuse(consumer.CodeFencedMemberEpoch, rejoin, "smaller", got, m.Epoch)
		}
	}
	return m, nil
}

func (g *Group) unknownMember(id string) *Error {
	return refuse(consumer.CodeUnknownMemberID, "Member %s is not a member of group %s.", id, g.ID)
}

// updated is what a member becomes with a request.
func updated(old *Member, clientID, host string, req *kmsg.StreamsGroupHeartbeatRequest) *Member {
	next := &Member{ID: req.MemberID, RebalanceMillis: -1, TopologyEpoch: -1}
	if old != nil {
		*next = *old
	}
	next.ClientID, next.ClientHost, next.Instance = clientID, host, nil
	if req.RackID != nil {
		next.Rack = req.RackID
	}
	if req.RebalanceTimeoutMillis != -1 {
		next.RebalanceMillis = req.RebalanceTimeoutMillis
	}
	if req.Topology != nil {
		next.TopologyEpoch = req.Topology.Epoch
	}
	if req.ProcessID != nil {
		next.Process = *req.ProcessID
	}
	if req.UserEndpoint != nil {
		next.Endpoint = &Endpoint{req.UserEndpoint.Host, req.UserEndpoint.Port}
	}
	if req.ClientTags != nil {
		next.Tags = nil
		for _, t := range req.ClientTags {
			next.Tags = append(next.Tags, Pair{t.Key, t.Value})
		}
		slices.SortStableFunc(next.Tags, func(a, b Pair) int { return strings.Compare(a.Key, b.Key) })
	}
	return next
}

// topologyFor is the topology that the group has with a request.
func (g *Group) topologyFor(req *kmsg.StreamsGroupHeartbeatRequest) (*Topology, *Error) {
	switch {
	case req.Topology == nil && g.topology == nil:
		return nil, refuse(CodeUnknownServerError, "The topology is null and the group topology is also null.")
	case req.Topology == nil, g.topology != nil && g.topology.Epoch > req.Topology.Epoch:
		return g.topology, nil
	}
	sent, err := readTopology(req.Topology)
	switch {
	case err != nil:
		return nil, err
	case sent.Epoch < 0:
		return nil, refuse(CodeUnknownServerError, "Topology epoch must be non-negative.")
	case g.topology == nil:
		return sent, nil
	case !g.topology.equal(sent):
		return nil, refuse(consumer.CodeInvalidRequest, "Topology updates are not supported yet.")
	}
	return g.topology, nil
}

func staleTopology(member, group int32) Status {
	return Status{StaleTopology, refuse(0, "The member's topology epoch %d is behind the group's topology epoch %d.", member, group).Message}
}

// admit judges the memory that the group would take.
func (g *Group) admit(env *Env, old, next *Member, topology *Topology) *Error {
	bytes := g.bytes + next.size() + topology.bytes
	if old != nil {
		bytes -= old.bytes
	}
	if bytes > env.MaxBytes {
		return refuse(consumer.CodeGroupMaxSizeReached, "The members of the streams group take more than %d bytes.", env.MaxBytes)
	}
	return nil
}

// lay is the layout of a topology with the topics that there are, and their hash. It is computed anew only when a topic has changed.
func (g *Group) lay(env *Env, topology *Topology) (*layout, int64, *Error) {
	if g.layout != nil && g.topology == topology && g.hashVersion == env.Topics.Version() {
		return g.layout, g.hash, nil
	}
	hash := consumer.HashOf(env.Topics, topology.required())
	if g.layout != nil && g.topology == topology && g.hash == hash {
		return g.layout, hash, nil
	}
	laid, err := layOut(topology, env.Topics)
	return laid, hash, err
}

// validated is the epoch of the topology if it is complete.
func (l *layout) validated(t *Topology) int32 {
	if l.ready() {
		return t.Epoch
	}
	return -1
}

// knows judges the tasks that a member says it has.
func (l *layout) knows(owned *Tasks) (err *Error) {
	if owned == nil || !l.ready() {
		return nil
	}
	owned.all(func(_ Role, id TaskID, _ int32) bool {
		n, ok := l.tasks[id.Subtopology]
		switch {
		case !ok:
			err = refuse(consumer.CodeInvalidRequest, "Subtopology %s does not exist in the topology.", id.Subtopology)
		case id.Partition < 0 || id.Partition >= n:
			err = refuse(consumer.CodeInvalidRequest, "Task %d for subtopology %s is invalid. Number of tasks for this subtopology: %d", id.Partition, id.Subtopology, n)
		}
		return err == nil
	})
	return err
}

// takeMember makes next the member that old was, and reports whether what it says of itself has changed.
func (g *Group) takeMember(old, next *Member) bool {
	switch {
	case old == nil:
		g.insert(next)
	case old.sameMetadata(next):
		return false
	default:
		g.release(old)
		g.bytes -= old.bytes
		*old = *next
		g.insert(old)
	}
	g.mark(KindMember, next.ID)
	return true
}

// updateTarget computes the target assignment if the group epoch needs one and it may be computed now.
func (g *Group) updateTarget(env *Env, out *Outcome) {
	delayed := func(why string) {
		out.Statuses = append(out.Statuses, Status{AssignmentDelayed, "Assignment delayed due to the configured " + why + "."})
	}
	switch {
	case g.delaying:
		delayed("initial rebalance delay")
	case g.AssignmentEpoch >= g.Epoch:
	case !g.due(env):
		delayed("assignment interval")
	default:
		g.assign(env)
	}
}

// askShutdown notes that a member wants the whole application to end. The first one is shown to all.
func (g *Group) askShutdown(id string) {
	if g.shutdown == nil {
		g.shutdown = &id
	}
}

// Leave ends the membership of the sender of a request.
func (g *Group) Leave(req *kmsg.StreamsGroupHeartbeatRequest) (*Member, *Error) {
	if req.ShutdownApplication {
		g.askShutdown(req.MemberID)
	}
	m := g.members[req.MemberID]
	if m == nil {
		return nil, g.unknownMember(req.MemberID)
	}
	return m, nil
}
