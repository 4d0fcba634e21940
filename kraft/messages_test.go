package kraft

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/ringmq/ringmq/kraft/internal/snapfile"
)

// message is what the private messages have in common.
type message interface {
	append(dst []byte) []byte
	read(b []byte) error
}

func sampleMessages() []message {
	return []message{
		&envelope{clusterID: "c", node: 3, asker: Asker{Principal: "User:ann", ClientID: "tool", Patient: true}, timeoutMs: 5000, key: 19, version: 7, body: []byte("body")},
		&reply{code: CodeNotController, message: "text", leader: 2, offset: 99, body: []byte("body")},
		&fetchLog{clusterID: "c", node: 3, from: 7, maxBytes: 1 << 20, waitMs: 500},
		&logPiece{code: CodeNone, leader: -1, snapshot: snapfile.ID{Index: 5, Term: 2}, entries: []entry{{6, 2, []byte("data")}, {7, 3, []byte{}}}},
		&fetchSnapshot{clusterID: "c", node: 3, id: snapfile.ID{Index: 5, Term: 2}, offset: 1 << 30},
		&snapshotPiece{code: CodeNotFound, message: "text", total: 77, data: []byte("data")},
		&raftFrame{clusterID: "c", from: 1, to: 2, messages: [][]byte{[]byte("m1"), []byte("m2")}},
	}
}

func sampleRequests() []interface {
	AppendTo([]byte) []byte
	ReadFrom([]byte) error
} {
	ranges := []Range{{Stream: 1, Epoch: 2, Start: 3, End: 4, Bytes: 5, MaxTimestamp: -1}}
	return []interface {
		AppendTo([]byte) []byte
		ReadFrom([]byte) error
	}{
		&PrepareObjectsRequest{Node: 1, NodeEpoch: 2, Count: 3},
		&RewriteStreamRequest{Stream: 1, Epoch: 2, Node: 3, NodeEpoch: 4, Cleaned: 9, New: []NewObject{{ID: 5, Kind: StreamObject, Size: 6, Ranges: ranges}}, Replaced: []ObjectID{7}},
		&CommitObjectsRequest{Node: 1, NodeEpoch: 2, Extends: true, New: []NewObject{{ID: 5, Kind: StreamObject, Size: 6, Ranges: ranges}}, Compacted: []ObjectID{7}},
		&OpenStreamRequest{Stream: 1, Epoch: 2, Node: 3, NodeEpoch: 4, HandedOver: true, From: 5, FromEpoch: 6},
		&ReclaimRequest{Topic: TopicID{1}, Partition: 2, LeaderEpoch: 3, Node: 4, NodeEpoch: 5},
		&HandoverRequest{ClusterID: "c", Node: 1, NodeEpoch: 2, Owner: 3, OwnerEpoch: 4, ImageOffset: 5, Topic: TopicID{6}, Partition: 7, LeaderEpoch: 8, Stream: 9, StreamEpoch: 10, Offset: -1},
		&HandoverResponse{Code: CodeConflict, Message: "text", From: 1, Next: 2, HasCheckpoint: true, Checkpoint: []byte("state"),
			Records: []HandoverRecord{{First: 1, Next: 2, MaxTimestamp: -1, Payload: []byte("batch")}}},
		&BrokerFailedRequest{Node: 1, NodeEpoch: 2, Cause: "text"},
		&CloseStreamRequest{Stream: 1, Epoch: 2, Node: 3, NodeEpoch: 4},
		&TrimStreamRequest{Stream: 1, Epoch: 2, Node: 3, NodeEpoch: 4, Start: 5},
		&DeletedObjectsRequest{Node: 1, NodeEpoch: 2, IDs: []ObjectID{3, 4}},
		&StreamResponse{Code: CodeFenced, Message: "text", First: 9},
	}
}

func TestMessages(t *testing.T) {
	for _, m := range sampleMessages() {
		got := reflect.New(reflect.TypeOf(m).Elem()).Interface().(message)
		if err := got.read(m.append(nil)); err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%+v reads as %+v, %v", m, got, err)
		}
	}
	for _, m := range sampleRequests() {
		got := reflect.New(reflect.TypeOf(m).Elem()).Interface().(interface {
			AppendTo([]byte) []byte
			ReadFrom([]byte) error
		})
		if err := got.ReadFrom(m.AppendTo(nil)); err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%+v reads as %+v, %v", m, got, err)
		}
	}
}

// FuzzMessages decodes the input as every private message; what decodes has to encode to the same bytes.
func FuzzMessages(f *testing.F) {
	for i, m := range sampleMessages() {
		f.Add(uint8(i), m.append(nil))
	}
	for i, m := range sampleRequests() {
		f.Add(uint8(len(sampleMessages())+i), m.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		messages, requests := sampleMessages(), sampleRequests()
		n := int(which) % (len(messages) + len(requests))
		var got []byte
		if n < len(messages) {
			m := reflect.New(reflect.TypeOf(messages[n]).Elem()).Interface().(message)
			if m.read(b) != nil {
				return
			}
			got = m.append(nil)
		} else {
			m := reflect.New(reflect.TypeOf(requests[n-len(messages)]).Elem()).Interface().(interface {
				AppendTo([]byte) []byte
				ReadFrom([]byte) error
			})
			if m.ReadFrom(b) != nil {
				return
			}
			got = m.AppendTo(nil)
		}
		if !bytes.Equal(got, b) {
			t.Fatalf("re-encoding differs: %x, want %x", got, b)
		}
	})
}

// FuzzRequestHeader feeds frames to the header parser and the tag skipper.
func FuzzRequestHeader(f *testing.F) {
	f.Add(appendFrame(nil, keyEnvelope, []byte("body"))[4:])
	f.Add([]byte{0, 18, 0, 3, 0, 0, 0, 1, 0, 1, 'c', 1, 0, 2, 'a', 'b', 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		_, body, err := readHeader(b)
		if err != nil {
			return
		}
		if rest, err := skipTags(body); err == nil && len(rest) >= len(body) {
			t.Fatalf("%d bytes of %d are left after at least one", len(rest), len(body))
		}
	})
}
