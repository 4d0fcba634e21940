package raftlog

import (
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
)

// BenchmarkAppend is the floor of every change of the metadata: one entry of 200 bytes, durable.
func BenchmarkAppend(b *testing.B) {
	l, _ := open(b, b.TempDir())
	defer l.Close()
	i := uint64(0)
	for b.Loop() {
		i++
		err := l.Append(&pb.HardState{Term: new(uint64(1)), Vote: new(uint64(2)), Commit: new(i - 1)}, []*pb.Entry{{Index: new(i), Term: new(uint64(1)), Data: make([]byte, 200)}})
		if err != nil {
			b.Fatal(err)
		}
	}
}
