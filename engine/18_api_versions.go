package engine

import (
	"regexp"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/netpoll"
)

// ApiVersions (key 18), versions 0 to 4.
//
//	v3 client software name and version, features   v4 features with a minimum of 0
//
// A version above the newest gets a version 0 answer with UNSUPPORTED_VERSION and the range of this key alone (KIP-511).

var softwarePattern = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$`)

func apiVersions(r *request) {
	req := r.body.(*kmsg.ApiVersionsRequest)
	resp := kmsg.NewPtrApiVersionsResponse()
	if req.Version >= 3 {
		if !softwarePattern.MatchString(req.ClientSoftwareName) || !softwarePattern.MatchString(req.ClientSoftwareVersion) {
			resp.ErrorCode = int16(kproto.InvalidRequest)
			r.reply(resp)
			return
		}
		r.conn.clientSoftware = req.ClientSoftwareName + "/" + req.ClientSoftwareVersion
	}
	resp.ApiKeys = r.broker.apis.advertised()
	r.broker.addFeatures(resp, req.Version)
	r.reply(resp)
}

// advertised lists the served APIs. Produce shows 0 as its lowest version though 3 is: a bug of librdkafka makes compressed
// produce fail otherwise (KAFKA-18659).
func (t *apiTable) advertised() []kmsg.ApiVersionsResponseApiKey {
	keys := make([]kmsg.ApiVersionsResponseApiKey, 0, len(t))
	for _, a := range t {
		if a == nil {
			continue
		}
		k := kmsg.NewApiVersionsResponseApiKey()
		k.ApiKey, k.MinVersion, k.MaxVersion = a.key, a.min, a.max
		if k.ApiKey == kproto.KeyProduce {
			k.MinVersion = 0
		}
		keys = append(keys, k)
	}
	return keys
}

// apiVersionsFallback answers a version of ApiVersions that this broker does not know.
func (b *Broker) apiVersionsFallback(st *connState, header kproto.RequestHeader) netpoll.Verdict {
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.ErrorCode = int16(kproto.UnsupportedVersion)
	own := b.apis.byKey(kproto.KeyApiVersions)
	key := kmsg.NewApiVersionsResponseApiKey()
	key.ApiKey, key.MinVersion, key.MaxVersion = own.key, own.min, own.max
	resp.ApiKeys = []kmsg.ApiVersionsResponseApiKey{key}
	r := &request{broker: b, conn: st, header: header, resp: st.conn.Begin()}
	r.header.Version = 0
	st.begin()
	r.reply(resp)
	return netpoll.Next
}
