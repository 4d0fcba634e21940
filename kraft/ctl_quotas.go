package kraft

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/kraft/record"
)

// quotaKeys are Kafka's quotas, and whether their values have to be whole numbers.
var (
	quotaKeys = map[string]bool{
		"producer_byte_rate": true, "consumer_byte_rate": true, "request_percentage": false, "controller_mutation_rate": false,
	}
	ipQuotaKeys = map[string]bool{QuotaConnectionRate: true}
)

func (t *tx) alterQuotas(r *kmsg.AlterClientQuotasRequest) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.AlterClientQuotasResponse)
	resp.Entries = make([]kmsg.AlterClientQuotasResponseEntry, 0, len(r.Entries))
	seen := make(map[string]bool, len(r.Entries))
	for _, entry := range r.Entries {
		entity, e := quotaEntity(entry.Entity)
		if e.code == 0 {
			res := entity.resource()
			if seen[res.Name] {
				e = kafkaError{kafkaInvalidRequest, "The entity is in the request more than once."}
			} else {
				e = t.alterQuota(entity, res, entry.Ops, r.ValidateOnly)
			}
			seen[res.Name] = true
		}
		out := kmsg.AlterClientQuotasResponseEntry{ErrorCode: e.code, ErrorMessage: e.message(), Entity: []kmsg.AlterClientQuotasResponseEntryEntity{}}
		for _, part := range entry.Entity {
			out.Entity = append(out.Entity, kmsg.AlterClientQuotasResponseEntryEntity{Type: part.Type, Name: part.Name})
		}
		resp.Entries = append(resp.Entries, out)
	}
	return resp
}

func quotaEntity(parts []kmsg.AlterClientQuotasRequestEntryEntity) (QuotaEntity, kafkaError) {
	bad := func(format string, args ...any) (QuotaEntity, kafkaError) {
		return nil, kafkaError{kafkaInvalidRequest, fmt.Sprintf(format, args...)}
	}
	if len(parts) == 0 {
		return bad("Invalid empty client quota entity.")
	}
	e := make(QuotaEntity, len(parts))
	for _, p := range parts {
		if _, twice := e[p.Type]; twice {
			return bad("Duplicate entity type %s.", p.Type)
		}
		switch {
		case p.Type != QuotaUser && p.Type != QuotaClientID && p.Type != QuotaIP:
			return bad("Unhandled client quota entity type: %s.", p.Type)
		case p.Name != nil && *p.Name == "":
			return bad("Empty %s not supported.", p.Type)
		case p.Type == QuotaIP && p.Name != nil:
			if _, err := netip.ParseAddr(*p.Name); err != nil {
				return bad("%q is not an IP address.", *p.Name)
			}
		}
		e[p.Type] = p.Name
	}
	if _, ip := e[QuotaIP]; ip && len(e) > 1 {
		return bad("Invalid quota entity combination: an ip stands alone.")
	}
	return e, kafkaError{}
}

// alterQuota makes the changes of one entity, all or none.
func (t *tx) alterQuota(entity QuotaEntity, res ConfigResource, ops []kmsg.AlterClientQuotasRequestEntryOp, validate bool) kafkaError {
	keys := quotaKeys
	if _, ip := entity[QuotaIP]; ip {
		keys = ipQuotaKeys
	}
	seen := make(map[string]bool, len(ops))
	for _, op := range ops {
		whole, known := keys[op.Key]
		bad := ""
		switch {
		case !known:
			bad = fmt.Sprintf("Invalid configuration key %s.", op.Key)
		case seen[op.Key]:
			bad = fmt.Sprintf("Duplicate key %s.", op.Key)
		case op.Remove:
		case math.IsNaN(op.Value) || math.IsInf(op.Value, 0) || op.Value <= 0:
			bad = fmt.Sprintf("Quota %s must be greater than 0.", op.Key)
		case whole && op.Value != math.Trunc(op.Value):
			bad = fmt.Sprintf("Quota %s cannot be a fraction.", op.Key)
		}
		if bad != "" {
			return kafkaError{kafkaInvalidRequest, bad}
		}
		seen[op.Key] = true
	}
	if validate {
		return kafkaError{}
	}
	for _, op := range ops {
		switch _, have := t.img().Config(res, op.Key); {
		case !op.Remove:
			t.add(&record.ConfigSet{Resource: res, Key: op.Key, Value: strconv.FormatFloat(op.Value, 'g', -1, 64)})
		case have:
			t.add(&record.ConfigRemoved{Resource: res, Key: op.Key})
		}
	}
	return kafkaError{}
}
