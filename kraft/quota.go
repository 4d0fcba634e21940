package kraft

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/ringmq/ringmq/kraft/record"
)

// Types of a quota entity's parts (KIP-546).
const (
	QuotaUser     = "user"
	QuotaClientID = "client-id"
	QuotaIP       = "ip"
)

// QuotaConnectionRate is the quota of addresses: new connections a second.
const QuotaConnectionRate = "connection_creation_rate"

// QuotaEntity names whom quotas are for: a user, a client id, a user with a client id, or an address. The value of a part is nil for the default of
// its type.
type QuotaEntity map[string]*string

// resource names the entity: its parts sorted by type, each TYPE=NAME with the name escaped, or TYPE alone for the default.
func (e QuotaEntity) resource() ConfigResource {
	parts := make([]string, 0, len(e))
	for kind, name := range e {
		if name != nil {
			kind += "=" + url.QueryEscape(*name)
		}
		parts = append(parts, kind)
	}
	slices.Sort(parts)
	return ConfigResource{Type: record.QuotaConfig, Name: strings.Join(parts, "&")}
}

func quotaEntityOf(name string) (QuotaEntity, bool) {
	e := make(QuotaEntity)
	for part := range strings.SplitSeq(name, "&") {
		kind, escaped, named := strings.Cut(part, "=")
		e[kind] = nil
		if named {
			n, err := url.QueryUnescape(escaped)
			if err != nil {
				return nil, false
			}
			e[kind] = &n
		}
	}
	return e, true
}

// Quotas calls fn for every entity that has quotas, with their values by key, until it returns false.
func Quotas(img *Image, fn func(QuotaEntity, map[string]float64) bool) {
	img.ConfigResourcesOf(record.QuotaConfig, func(r ConfigResource) bool {
		e, ok := quotaEntityOf(r.Name)
		if !ok {
			return true
		}
		values := make(map[string]float64)
		for _, c := range img.Configs(r) {
			if v, err := strconv.ParseFloat(c.Value, 64); err == nil {
				values[c.Key] = v
			}
		}
		return fn(e, values)
	})
}
