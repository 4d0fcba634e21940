package kraft

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// budget is a MutationQuota of so many partitions, which writes down what it is called for.
type budget struct {
	left  int
	calls []string
}

func (b *budget) Set(img *Image) {
	n := -1
	if img != nil {
		n = 0
		Quotas(img, func(QuotaEntity, map[string]float64) bool { n++; return true })
	}
	b.calls = append(b.calls, fmt.Sprintf("set %d", n))
}

func (b *budget) Take(a Asker, n int) (time.Duration, bool) {
	b.calls = append(b.calls, fmt.Sprintf("%s %s %d", a.Principal, a.ClientID, n))
	if b.left < 0 && !a.Patient {
		return 7 * time.Second, false
	}
	b.left -= n
	if a.Patient {
		return 3 * time.Second, true
	}
	return 0, true
}

// TestMutationQuota: what a client has changed is counted when everything else allows it, what the nodes themselves change is not, and the quotas that count are
// those of the newest proposal.
func TestMutationQuota(t *testing.T) {
	b := &budget{left: 2}
	h := kafkaHarness(t, func(o *Options) { o.Mutations = b })
	ann := Asker{Principal: "User:ann", ClientID: "x"}
	old := ann
	old.Patient = true
	create := func(n int32, names ...string) *kmsg.CreateTopicsRequest {
		req := kmsg.NewPtrCreateTopicsRequest()
		for _, name := range names {
			rt := kmsg.NewCreateTopicsRequestTopic()
			rt.Topic, rt.NumPartitions, rt.ReplicationFactor = name, n, 1
			req.Topics = append(req.Topics, rt)
		}
		return req
	}
	ask := func(a Asker, req kmsg.Request, wantMillis int32, want ...int16) {
		t.Helper()
		resp, _, err := h.ctl.do(AskedBy(context.Background(), a), req)
		if err != nil {
			t.Fatal(err)
		}
		var codes []int16
		switch r := resp.(type) {
		case *kmsg.CreateTopicsResponse:
			for _, x := range r.Topics {
				codes = append(codes, x.ErrorCode)
			}
		case *kmsg.CreatePartitionsResponse:
			for _, x := range r.Topics {
				codes = append(codes, x.ErrorCode)
			}
		case *kmsg.DeleteTopicsResponse:
			for _, x := range r.Topics {
				codes = append(codes, x.ErrorCode)
			}
		}
		if millis, _ := resp.(kmsg.ThrottleResponse).Throttle(); millis != wantMillis || !slices.Equal(codes, want) {
			t.Errorf("%T: codes %v, %d ms; want %v, %d ms", req, codes, millis, want, wantMillis)
		}
	}
	calls := func(want ...string) {
		t.Helper()
		if !slices.Equal(b.calls, want) {
			t.Errorf("called for %q, want %q", b.calls, want)
		}
		b.calls = nil
	}
	calls("set 0")
	ask(Asker{}, create(5, "own"), 0, 0)
	calls()
	ask(ann, create(3, "a", "own", "b"), 7000, 0, kafkaTopicExists, kafkaThrottlingQuotaExceeded)
	calls("User:ann x 3", "User:ann x 3")
	grow := kmsg.NewPtrCreatePartitionsRequest()
	grow.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: "a", Count: 5}, {Topic: "own", Count: 5}}
	ask(ann, grow, 7000, kafkaThrottlingQuotaExceeded, kafkaInvalidPartitions)
	drop := kmsg.NewPtrDeleteTopicsRequest()
	drop.Version = 6
	name, absent := "a", "absent"
	drop.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: &name}, {Topic: &absent}}
	ask(ann, drop, 7000, kafkaThrottlingQuotaExceeded, kafkaUnknownTopic)
	calls("User:ann x 2", "User:ann x 3")
	if got := len(h.image().Topic("a").Partitions); got != 3 || h.image().Topic("b") != nil {
		t.Errorf("refused changes were made: %d partitions of a", got)
	}
	ask(old, grow, 3000, 0, kafkaInvalidPartitions)
	ask(old, drop, 3000, 0, kafkaUnknownTopic)
	calls("User:ann x 2", "User:ann x 5")
	quotas := kmsg.NewPtrAlterClientQuotasRequest()
	quotas.Entries = []kmsg.AlterClientQuotasRequestEntry{{
		Entity: []kmsg.AlterClientQuotasRequestEntryEntity{{Type: QuotaUser}}, Ops: []kmsg.AlterClientQuotasRequestEntryOp{{Key: "controller_mutation_rate", Value: 1}},
	}}
	h.do(quotas)
	calls("set 1")
	h.ctl.deactivate()
	h.ctl.activate(2, h.image())
	calls("set -1", "set 1")
}
