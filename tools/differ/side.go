package differ

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/bench/wire"
)

// side is one of the two brokers. It belongs to one goroutine.
type side struct {
	name    string
	address string
	conn    *wire.Conn
	ids     map[string][16]byte // of topics
	names   map[[16]byte]string
}

func newSide(name, address string) *side {
	return &side{name: name, address: address, ids: map[string][16]byte{}, names: map[[16]byte]string{}}
}

func (s *side) close() {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
}

// patience bounds one answer. The brokers are on this machine and no request of ours asks them to wait.
const patience = 10 * time.Second

func (s *side) connection(ctx context.Context) (*wire.Conn, error) {
	if s.conn == nil {
		c, err := wire.Dial(ctx, s.address, "differ")
		if err != nil {
			return nil, err
		}
		s.conn = c
	}
	s.conn.SetDeadline(time.Now().Add(patience))
	return s.conn, nil
}

// ask sends a request and returns its answer, or an error when the broker closes the connection instead. While the broker says that it is not ready
// (a coordinator loads, a leader is not known yet) it asks again.
func (s *side) ask(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	for deadline := time.Now().Add(patience); ; {
		c, err := s.connection(ctx)
		if err != nil {
			return nil, err
		}
		resp, err := c.Request(req)
		if err != nil {
			s.close()
			return nil, err
		}
		if !unready(reflect.ValueOf(resp)) || time.Now().After(deadline) {
			return resp, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// unready says whether an answer holds an error that passes by itself and that means that nothing was done.
func unready(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer:
		return !v.IsNil() && unready(v.Elem())
	case reflect.Slice:
		for i := range v.Len() {
			if v.Type().Elem().Kind() == reflect.Struct && unready(v.Index(i)) {
				return true
			}
		}
	case reflect.Struct:
		if code := v.FieldByName("ErrorCode"); code.IsValid() {
			switch err := kerr.ErrorForCode(int16(code.Int())); err {
			case kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.LeaderNotAvailable, kerr.ConcurrentTransactions:
				return true
			}
		}
		for i := range v.NumField() {
			if unready(v.Field(i)) {
				return true
			}
		}
	}
	return false
}

// outcome is the path of what happened when there is no answer.
const outcome = "outcome"

// fields asks and flattens. A closed connection is an answer as well.
func (s *side) fields(ctx context.Context, req kmsg.Request) (fields, error) {
	resp, err := s.ask(ctx, req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return fields{outcome: "no answer"}, nil
	}
	return flatten(resp, func(id [16]byte) string { return s.names[id] }), nil
}

// versions are what the broker announces.
func (s *side) versions(ctx context.Context) (map[int16][2]int16, error) {
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = 3, "differ", "1"
	resp, err := s.ask(ctx, req)
	if err != nil {
		return nil, err
	}
	out := map[int16][2]int16{}
	for _, k := range resp.(*kmsg.ApiVersionsResponse).ApiKeys {
		out[k.ApiKey] = [2]int16{k.MinVersion, k.MaxVersion}
	}
	return out, nil
}

// prepare makes the topics and groups of the vocabulary, as far as they are not there, and learns the topics' ids.
func (s *side) prepare(ctx context.Context) error {
	if err := wire.CreateTopic(ctx, s.address, "one", 1, nil); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	if err := wire.CreateTopic(ctx, s.address, "three", 3, map[string]string{"retention.ms": "86400000"}); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	for _, group := range []string{"group", "other"} {
		req := kmsg.NewPtrOffsetCommitRequest()
		req.Version, req.Group, req.Generation = 8, group, -1
		t := kmsg.NewOffsetCommitRequestTopic()
		t.Topic = "one"
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Offset = 3
		t.Partitions = append(t.Partitions, p)
		req.Topics = append(req.Topics, t)
		if _, err := s.ask(ctx, req); err != nil {
			return fmt.Errorf("%s: commit of %s: %w", s.name, group, err)
		}
	}
	return s.learn(ctx)
}

// learn asks for the ids of all topics.
func (s *side) learn(ctx context.Context) error {
	req := kmsg.NewPtrMetadataRequest()
	req.Version = 12
	resp, err := s.ask(ctx, req)
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	for _, t := range resp.(*kmsg.MetadataResponse).Topics {
		if t.Topic == nil {
			return errors.New("differ: a topic without a name in the answer to a request for all topics")
		}
		s.ids[*t.Topic], s.names[t.TopicID] = t.TopicID, *t.Topic
	}
	return nil
}
