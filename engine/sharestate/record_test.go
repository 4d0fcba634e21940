package sharestate

import (
	"bytes"
	"encoding/hex"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/ringmq/ringmq/engine/share"
)

var exampleKey = Key{Group: "g", Topic: [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, Partition: 2}

var exampleState = state{
	snapshotEpoch: 1, stateEpoch: 3, leaderEpoch: 4, start: 5, createMillis: 0x18bcfe56800, writeMillis: 0x18bcfe56801,
	batches: []share.Batch{{First: 5, Last: 6, State: share.Available, Deliveries: 1}},
}

// TestRecordBytes holds the code to FORMAT.md.
func TestRecordBytes(t *testing.T) {
	page, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, ok := strings.Cut(string(page), "nothing done:")
	if !ok {
		t.Fatal("FORMAT.md has no example")
	}
	example, _, _ = strings.Cut(example, "`TestRecordBytes`")
	key, value, ok := strings.Cut(strings.Join(strings.Fields(example), ""), "value")
	if !ok {
		t.Fatal("FORMAT.md: the example has no value")
	}
	if got := hex.EncodeToString(appendKey(nil, kindSnapshot, exampleKey)); got != strings.TrimPrefix(key, "key") {
		t.Errorf("key %s, FORMAT.md says %s", got, key)
	}
	if got := hex.EncodeToString(appendSnapshot(nil, &exampleState)); got != value {
		t.Errorf("value\n%s, FORMAT.md says\n%s", got, value)
	}
}

func TestRoundTrip(t *testing.T) {
	snapshot, err := decodeValue(kindSnapshot, appendSnapshot(nil, &exampleState))
	if err != nil || !reflect.DeepEqual(*snapshot, exampleState) {
		t.Errorf("%+v, %v", snapshot, err)
	}
	change := state{snapshotEpoch: 1, leaderEpoch: 4, start: 7, complete: NotCounted, batches: exampleState.batches}
	update, err := decodeValue(kindUpdate, appendUpdate(nil, &change))
	if err != nil || !reflect.DeepEqual(*update, change) {
		t.Errorf("%+v, %v", update, err)
	}
	k, kind, known, err := decodeKey(appendKey(nil, kindUpdate, exampleKey))
	if err != nil || !known || kind != kindUpdate || k != exampleKey {
		t.Errorf("%+v of kind %d, %v", k, kind, err)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(appendKey(nil, kindSnapshot, exampleKey), appendSnapshot(nil, &exampleState))
	f.Add(appendKey(nil, kindUpdate, exampleKey), appendUpdate(nil, &exampleState))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		k, kind, known, err := decodeKey(key)
		if err != nil || !known {
			return
		}
		if again := appendKey(nil, kind, k); !bytes.Equal(again, key) {
			t.Fatalf("key %x encodes to %x", key, again)
		}
		s, err := decodeValue(kind, value)
		if err != nil {
			return
		}
		encode := appendUpdate
		if kind == kindSnapshot {
			encode = appendSnapshot
		}
		again, err := decodeValue(kind, encode(nil, s))
		if err != nil || !reflect.DeepEqual(again, s) {
			t.Fatalf("%+v decodes to %+v, %v", s, again, err)
		}
	})
}

func TestKeys(t *testing.T) {
	for _, k := range []Key{exampleKey, {Group: "with:colons:in", Topic: exampleKey.Topic}} {
		if again, err := ParseKey(k.String()); err != nil || again != k {
			t.Errorf("%s is read as %+v, %v", k, again, err)
		}
	}
	for _, bad := range []string{"", "g", "g:AAAAAAAAAAAAAAAAAAAAAA", ":AAAAAAAAAAAAAAAAAAAAAA:1", "g:nonsense:1", "g:AAAAAAAAAAAAAAAAAAAAAA:x"} {
		if k, err := ParseKey(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, k)
		}
	}
}
