package nothing

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	maxFrame           = 128 << 20 // of a request
	apiVersionsKey     = 18
	unsupportedVersion = 35 // Kafka's error code
)

// served are the APIs and their versions. Produce ends before topic ids.
var served = []struct{ key, low, high int16 }{{0, 3, 12}, {3, 1, 12}, {apiVersionsKey, 0, 4}, {22, 0, 5}}

// Broker is one that runs.
type Broker struct {
	listener   net.Listener
	host       string
	port       int32
	partitions int32

	mu struct {
		sync.Mutex
		err error // the first fault of a connection
	}
}

// Start listens on a free port of the loopback address and serves from goroutines of its own. Every topic exists, with so many partitions.
func Start(partitions int) (*Broker, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("nothing: %w", err)
	}
	at := l.Addr().(*net.TCPAddr)
	b := &Broker{listener: l, host: at.IP.String(), port: int32(at.Port), partitions: int32(partitions)}
	go b.accept()
	return b, nil
}

// Seed is the address for clients.
func (b *Broker) Seed() string { return b.listener.Addr().String() }

// Close stops listening. It returns what was wrong with a request, if anything: then what was measured is not to be used. Connections end when their
// clients close them.
func (b *Broker) Close() error {
	b.listener.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.err
}

func (b *Broker) accept() {
	for {
		c, err := b.listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			if err := b.connection(c); !errors.Is(err, io.EOF) {
				b.mu.Lock()
				defer b.mu.Unlock()
				if b.mu.err == nil {
					b.mu.err = fmt.Errorf("nothing: %w", err)
				}
			}
		}()
	}
}

func (b *Broker) connection(c net.Conn) error {
	in := bufio.NewReaderSize(c, 256<<10)
	var frame, out []byte
	for {
		var head [4]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return err
		}
		size := int(binary.BigEndian.Uint32(head[:]))
		if size < 10 || size > maxFrame {
			return fmt.Errorf("frame of %d bytes", size)
		}
		if cap(frame) < size {
			frame = make([]byte, size)
		}
		frame = frame[:size]
		if _, err := io.ReadFull(in, frame); err != nil {
			return err
		}
		response, err := b.answer(frame)
		if err != nil {
			return err
		}
		if response == nil { // acks=0
			continue
		}
		out = append(out[:0], 0, 0, 0, 0)
		out = append(out, frame[4:8]...)
		if response.IsFlexible() && response.Key() != apiVersionsKey {
			out = append(out, 0)
		}
		out = response.AppendTo(out)
		binary.BigEndian.PutUint32(out, uint32(len(out)-4))
		if _, err := c.Write(out); err != nil {
			return err
		}
	}
}

// answer decodes a request behind its length.
func (b *Broker) answer(frame []byte) (kmsg.Response, error) {
	key, version := int16(binary.BigEndian.Uint16(frame)), int16(binary.BigEndian.Uint16(frame[2:]))
	request := kmsg.RequestForKey(key)
	if request == nil {
		return nil, fmt.Errorf("api key %d is not known", key)
	}
	if key == apiVersionsKey && version > 4 {
		return b.versions(0, unsupportedVersion), nil
	}
	request.SetVersion(version)
	body := frame[10:] // key, version, correlation id, length of the client id
	if n := int16(binary.BigEndian.Uint16(frame[8:])); n > 0 {
		if int(n) > len(body) {
			return nil, fmt.Errorf("client id of %d bytes in a frame of %d", n, len(frame))
		}
		body = body[n:]
	}
	if request.IsFlexible() {
		if len(body) == 0 || body[0] != 0 {
			return nil, fmt.Errorf("header tags are not understood")
		}
		body = body[1:]
	}
	if err := request.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("%s: %w", kmsg.NameForKey(key), err)
	}
	switch r := request.(type) {
	case *kmsg.ApiVersionsRequest:
		return b.versions(version, 0), nil
	case *kmsg.MetadataRequest:
		return b.metadata(r), nil
	case *kmsg.InitProducerIDRequest:
		response := r.ResponseKind().(*kmsg.InitProducerIDResponse)
		response.ProducerID = 1
		return response, nil
	case *kmsg.ProduceRequest:
		return b.produce(r), nil
	}
	return nil, fmt.Errorf("%s is not served", kmsg.NameForKey(key))
}

func (b *Broker) versions(version, code int16) kmsg.Response {
	r := kmsg.NewPtrApiVersionsResponse()
	r.SetVersion(version)
	r.ErrorCode = code
	for _, s := range served {
		k := kmsg.NewApiVersionsResponseApiKey()
		k.ApiKey, k.MinVersion, k.MaxVersion = s.key, s.low, s.high
		r.ApiKeys = append(r.ApiKeys, k)
	}
	return r
}

func (b *Broker) metadata(request *kmsg.MetadataRequest) kmsg.Response {
	r := request.ResponseKind().(*kmsg.MetadataResponse)
	node := kmsg.NewMetadataResponseBroker()
	node.Host, node.Port = b.host, b.port
	r.Brokers = append(r.Brokers, node)
	r.ClusterID = kmsg.StringPtr("nothing")
	for _, asked := range request.Topics {
		t := kmsg.NewMetadataResponseTopic()
		t.Topic, t.TopicID = asked.Topic, asked.TopicID
		for p := range b.partitions {
			one := kmsg.NewMetadataResponseTopicPartition()
			one.Partition, one.Replicas, one.ISR = p, []int32{0}, []int32{0}
			t.Partitions = append(t.Partitions, one)
		}
		r.Topics = append(r.Topics, t)
	}
	return r
}

func (b *Broker) produce(request *kmsg.ProduceRequest) kmsg.Response {
	if request.Acks == 0 {
		return nil
	}
	r := request.ResponseKind().(*kmsg.ProduceResponse)
	for _, topic := range request.Topics {
		t := kmsg.NewProduceResponseTopic()
		t.Topic = topic.Topic
		for _, p := range topic.Partitions {
			one := kmsg.NewProduceResponseTopicPartition()
			one.Partition, one.LogAppendTime = p.Partition, -1
			t.Partitions = append(t.Partitions, one)
		}
		r.Topics = append(r.Topics, t)
	}
	return r
}
