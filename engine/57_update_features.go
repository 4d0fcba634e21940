package engine

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// UpdateFeatures (key 57) 0 to 2: the controller keeps the levels (features.go has what they mean).
//
//	v1 only validate, kinds of upgrade   v2 no results for single features
//
// Different from Kafka: metadata.version and kraft.version are levels of the format of Kafka's own metadata log, which there is not. They are not shown, and
// refused as any feature that is not known.

func updateFeatures(r *request) {
	req := r.body.(*kmsg.UpdateFeaturesRequest)
	r.passOn(req.TimeoutMillis, func(code int16, message *string) kmsg.Response {
		resp := kmsg.NewPtrUpdateFeaturesResponse()
		resp.ErrorCode, resp.ErrorMessage, resp.Results = code, message, []kmsg.UpdateFeaturesResponseResult{}
		return resp
	})
}
