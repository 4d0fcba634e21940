package kproto

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
)

func TestErrorCodesAgainstKerr(t *testing.T) {
	for c := UnknownServerError; c <= ControllerIDNotRegistered; c++ {
		if c == None {
			continue
		}
		want := kerr.TypedErrorForCode(int16(c))
		if want.Code != int16(c) {
			t.Fatalf("kerr does not know %d", c)
		}
		name := want.Message
		if c == NotLeaderOrFollower {
			name = "NOT_LEADER_OR_FOLLOWER" // kerr keeps the old one
		}
		if c.String() != name || c.Retriable() != want.Retriable || c.Message() == "" {
			t.Errorf("%d: %s retriable %v %q, kerr says %s retriable %v", c, c, c.Retriable(), c.Message(), name, want.Retriable)
		}
	}
	if None.String() != "NONE" || None.Message() != "" || None.Retriable() {
		t.Error("None is not nothing")
	}
	for _, c := range []ErrorCode{-2, ControllerIDNotRegistered + 1} {
		if c.Retriable() || c.Message() != "" || c.String() == "" {
			t.Errorf("%d: %s", c, c)
		}
	}
}
