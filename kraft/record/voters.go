package record

import "github.com/ringmq/ringmq/kraft/internal/wire"

// VoterSet says who the members of the quorum are from here on. It travels as the context of a raft configuration change when it adds, promotes or
// removes a member, and as an ordinary record when only a directory or an address differs, or when the first controller writes down the set that
// the cluster was founded with. In a snapshot it says who the members were.
type VoterSet struct {
	Voters []Voter // ascending by id
}

// Voter is one member of the quorum.
type Voter struct {
	ID        int32
	Directory [16]byte // id of its metadata directory; zero until the node has told it
	Learner   bool     // it gets the log and has no vote: it is catching up before it becomes a voter
	Endpoints []BrokerEndpoint
}

// minVoterBytes is the least that one encoded voter takes.
const minVoterBytes = 1 + 16 + 1 + 1

// Kind returns the record's kind.
func (*VoterSet) Kind() Kind { return KindVoterSet }

func (r *VoterSet) append(dst []byte) []byte {
	dst = wire.AppendUvarint(dst, uint64(len(r.Voters)))
	for _, v := range r.Voters {
		dst = wire.AppendVarint(dst, int64(v.ID))
		dst = append(dst, v.Directory[:]...)
		dst = wire.AppendBool(dst, v.Learner)
		dst = appendEndpoints(dst, v.Endpoints)
	}
	return dst
}

func (r *VoterSet) read(d *wire.Reader) {
	n := d.Count(minVoterBytes)
	if n == 0 {
		return
	}
	r.Voters = make([]Voter, n)
	for i := range r.Voters {
		v := &r.Voters[i]
		v.ID = d.Int32()
		d.Array(v.Directory[:])
		v.Learner, v.Endpoints = d.Bool(), readEndpoints(d)
	}
}
