package clientmetrics

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// Metrics come as opentelemetry.proto.metrics.v1.MetricsData. What is needed of it are numbers with their names and attributes; the rest is skipped.
//
//	MetricsData.resource_metrics=1 ► ResourceMetrics.scope_metrics=2 ► ScopeMetrics.metrics=2 ► Metric{name=1, gauge=5, sum=7}
//	Gauge, Sum{data_points=1; Sum.aggregation_temporality=2} ► NumberDataPoint{attributes=7, as_double=4, as_int=6}

// point is one number.
type point struct {
	name       string
	attributes string // key=value, separated by commas, in the order in which they came
	value      float64
	delta      bool // to be added to what was known
}

var errMalformed = errors.New("clientmetrics: not a message of OpenTelemetry's metrics")

const deltaTemporality = 1

// decode calls fn for every number in a message, until it returns false.
func decode(data []byte, fn func(point) bool) error {
	d := decoder{fn: fn}
	return d.walk(data, []protowire.Number{1, 2, 2}, 0)
}

type decoder struct {
	fn    func(point) bool
	ended bool
}

// walk goes down the path of fields that lead to the metrics.
func (d *decoder) walk(data []byte, path []protowire.Number, depth int) error {
	if len(path) == 0 {
		return d.metric(data)
	}
	if depth > depthMax {
		return errMalformed
	}
	return fields(data, func(n protowire.Number, f field) error {
		if n != path[0] || f.kind != protowire.BytesType || d.ended {
			return nil
		}
		return d.walk(f.bytes, path[1:], depth+1)
	})
}

// metric takes a Metric apart.
func (d *decoder) metric(data []byte) error {
	var p point
	var points [][]byte
	err := fields(data, func(n protowire.Number, f field) error {
		switch {
		case n == 1 && f.kind == protowire.BytesType:
			p.name = clip(string(f.bytes))
		case (n == 5 || n == 7) && f.kind == protowire.BytesType:
			return fields(f.bytes, func(m protowire.Number, g field) error {
				switch {
				case m == 1 && g.kind == protowire.BytesType:
					points = append(points, g.bytes)
				case n == 7 && m == 2 && g.kind == protowire.VarintType:
					p.delta = g.number == deltaTemporality
				}
				return nil
			})
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, data := range points {
		one := p
		if err := one.number(data); err != nil {
			return err
		}
		if d.ended = d.ended || !d.fn(one); d.ended {
			return nil
		}
	}
	return nil
}

// number reads a NumberDataPoint.
func (p *point) number(data []byte) error {
	var attributes []string
	err := fields(data, func(n protowire.Number, f field) error {
		switch {
		case n == 4 && f.kind == protowire.Fixed64Type:
			p.value = math.Float64frombits(f.number)
		case n == 6 && f.kind == protowire.Fixed64Type:
			p.value = float64(int64(f.number))
		case n == 7 && f.kind == protowire.BytesType:
			text, err := attribute(f.bytes)
			if err != nil {
				return err
			}
			attributes = append(attributes, text)
		}
		return nil
	})
	p.attributes = clip(strings.Join(attributes, ","))
	return err
}

// attribute is a KeyValue as text.
func attribute(data []byte) (string, error) {
	key, value := "", ""
	err := fields(data, func(n protowire.Number, f field) error {
		switch {
		case n == 1 && f.kind == protowire.BytesType:
			key = string(f.bytes)
		case n == 2 && f.kind == protowire.BytesType:
			return fields(f.bytes, func(n protowire.Number, f field) error {
				switch {
				case n == 1 && f.kind == protowire.BytesType:
					value = string(f.bytes)
				case n == 2 && f.kind == protowire.VarintType:
					value = strconv.FormatBool(f.number != 0)
				case n == 3 && f.kind == protowire.VarintType:
					value = strconv.FormatInt(int64(f.number), 10)
				case n == 4 && f.kind == protowire.Fixed64Type:
					value = strconv.FormatFloat(math.Float64frombits(f.number), 'g', -1, 64)
				}
				return nil
			})
		}
		return nil
	})
	return key + "=" + value, err
}

// field is the value of one field: bytes of messages and texts, number of the rest.
type field struct {
	kind   protowire.Type
	bytes  []byte
	number uint64
}

// fields calls fn for every field of a message.
func fields(data []byte, fn func(protowire.Number, field) error) error {
	for len(data) > 0 {
		n, kind, size := protowire.ConsumeTag(data)
		if size < 0 {
			return errMalformed
		}
		data = data[size:]
		f := field{kind: kind}
		switch kind {
		case protowire.BytesType:
			f.bytes, size = protowire.ConsumeBytes(data)
		case protowire.VarintType:
			f.number, size = protowire.ConsumeVarint(data)
		case protowire.Fixed64Type:
			f.number, size = protowire.ConsumeFixed64(data)
		default:
			size = protowire.ConsumeFieldValue(n, kind, data)
		}
		if size < 0 {
			return errMalformed
		}
		data = data[size:]
		if err := fn(n, f); err != nil {
			return err
		}
	}
	return nil
}

// clip makes text of a client fit to be shown: valid, and no longer than textMax.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) > textMax {
		s = strings.ToValidUTF8(s[:textMax], "")
	}
	return s
}
