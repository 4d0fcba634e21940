package side

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The cases "secure-" are the open loop of a thousand requests a second, with what a production cluster has switched on: an authorizer with entries, quotas that are not
// exceeded, TLS. They stand beside the row of the same probe without.

// secureRate is that probe.
var secureRate = []string{"-size", "1024", "-conns", "4", "-rate", "1000"}

// foreignEntries is how many access control entries there are of others.
const foreignEntries = 200

// secureCases are these cases.
func (p Profile) secureCases() []testCase {
	return []testCase{
		{name: "secure-acl", run: secured(writeACLs), own: &ownServer{settings: []string{
			"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer", "allow.everyone.if.no.acl.found=true"}}},
		{name: "secure-quota", run: secured(writeQuotas), own: &ownServer{}},
		{name: "secure-tls", run: secured(nil), own: &ownServer{tls: true}},
	}
}

// secured is the probe on a server that prepare has made what the case is about; nil: it is by its settings.
func secured(prepare func(ctx context.Context, adm *kadm.Client, topic string) error) func(context.Context, *session, *Record) error {
	return func(ctx context.Context, s *session, rec *Record) error {
		if err := s.createTopic(ctx, rec.Case, 1); err != nil {
			return err
		}
		args := secureRate
		if s.cert != nil {
			args = append([]string{"-tls-ca", s.cert.ca}, args...)
		}
		if prepare != nil {
			cl, err := kgo.NewClient(kgo.SeedBrokers(s.in.Seed()))
			if err != nil {
				return fmt.Errorf("side: %w", err)
			}
			err = prepare(ctx, kadm.NewClient(cl), rec.Case)
			cl.Close()
			if err != nil {
				return fmt.Errorf("side: prepare %s: %w", rec.Case, err)
			}
		}
		return probeCase(args...)(ctx, s, rec)
	}
}

// writeACLs lets the probe, which has no name, write its topic, and others many things.
func writeACLs(ctx context.Context, adm *kadm.Client, topic string) error {
	entries := []*kadm.ACLBuilder{kadm.NewACLs().Topics(topic).Allow("User:ANONYMOUS").AllowHosts().Operations(kadm.OpWrite, kadm.OpDescribe).
		ResourcePatternType(kadm.ACLPatternLiteral)}
	for i := range foreignEntries {
		entries = append(entries, kadm.NewACLs().Topics(fmt.Sprintf("team-%d-", i)).Allow(fmt.Sprint("User:", i)).AllowHosts().Operations(kadm.OpWrite).
			ResourcePatternType(kadm.ACLPatternPrefixed))
	}
	for _, e := range entries {
		results, err := adm.CreateACLs(ctx, e)
		if err != nil {
			return err
		}
		for _, r := range results {
			if r.Err != nil {
				return r.Err
			}
		}
	}
	return nil
}

// writeQuotas sets quotas of every kind that nobody reaches.
func writeQuotas(ctx context.Context, adm *kadm.Client, _ string) error {
	var ops []kadm.AlterClientQuotaOp
	for key, value := range map[string]float64{"producer_byte_rate": 1e12, "consumer_byte_rate": 1e12, "request_percentage": 1e6} {
		ops = append(ops, kadm.AlterClientQuotaOp{Key: key, Value: value})
	}
	results, err := adm.AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{{Entity: kadm.ClientQuotaEntity{{Type: "client-id"}}, Ops: ops}})
	if err != nil {
		return err
	}
	for _, r := range results {
		if r.Err != nil {
			return r.Err
		}
	}
	return nil
}

// transactional has the producer tool write in transactions of a tenth of a second.
var transactional = []string{"--transactional-id", "bench", "--transaction-duration-ms", "100"}

// cleaningSettings have both servers compact without delay.
var cleaningSettings = []string{"log.cleaner.backoff.ms=10", "s3.wal.upload.interval.ms=500"}

// The writer beside the probe of the case cleaning.
const (
	cleaningKeys  = 1000
	cleaningBatch = 200 // records of 1 KB, each twentieth of a second: 4 MB/s
)

// cleaningCase probes a topic beside a writer of keys: first one whose topic is kept as it is, then one whose topic is compacted all the time.
func cleaningCase(ctx context.Context, s *session, rec *Record) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.in.Seed()), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return fmt.Errorf("side: %w", err)
	}
	defer cl.Close()
	configs := map[string]*string{"segment.bytes": kmsg.StringPtr("1048576")}
	adm := kadm.NewClient(cl)
	if _, err := adm.CreateTopic(ctx, 1, 1, configs, "kept"); err != nil {
		return fmt.Errorf("side: %w", err)
	}
	configs["cleanup.policy"], configs["min.cleanable.dirty.ratio"] = kmsg.StringPtr("compact"), kmsg.StringPtr("0.01")
	if _, err := adm.CreateTopic(ctx, 1, 1, configs, "compacted"); err != nil {
		return fmt.Errorf("side: %w", err)
	}
	if err := s.probeBeside(ctx, rec, "alone_", func(ctx context.Context) error { return writeKeys(ctx, cl, "kept") }); err != nil {
		return err
	}
	writing, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- writeKeys(writing, cl, "compacted") }()
	// Compaction is under way before the probe, and still after it.
	before, err := s.compacted(ctx, "compacted", 0)
	if err == nil {
		err = s.probeBeside(ctx, rec, "cleaning_", nil)
	}
	if err == nil {
		_, err = s.compacted(ctx, "compacted", before)
	}
	stop()
	return errors.Join(err, <-done)
}

// compacted waits until the first record of a topic lies behind an offset, and returns where.
func (s *session) compacted(ctx context.Context, topic string, behind int64) (int64, error) {
	for {
		first, err := firstOffset(ctx, s.in.Seed(), topic)
		if err != nil || first > behind {
			return first, err
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return 0, fmt.Errorf("side: %s is not compacted beyond offset %d: %w", topic, behind, err)
		}
	}
}

// writeKeys writes at a rate until ctx ends.
func writeKeys(ctx context.Context, cl *kgo.Client, topic string) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	value := make([]byte, kb)
	failed := make(chan error, 1)
	for n := 0; ; {
		select {
		case <-ctx.Done():
			flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			return cl.Flush(flush)
		case err := <-failed:
			return fmt.Errorf("side: write keys: %w", err)
		case <-tick.C:
		}
		for range cleaningBatch {
			r := &kgo.Record{Topic: topic, Key: fmt.Append(nil, "key-", n%cleaningKeys), Value: value}
			cl.Produce(context.WithoutCancel(ctx), r, func(_ *kgo.Record, err error) {
				if err != nil {
					select {
					case failed <- err:
					default:
					}
				}
			})
			n++
		}
	}
}

// firstOffset is that of the first record that is left of a topic; it waits until there is one.
func firstOffset(ctx context.Context, seed, topic string) (int64, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(seed), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
	if err != nil {
		return 0, fmt.Errorf("side: %w", err)
	}
	defer cl.Close()
	fetches := cl.PollRecords(ctx, 1)
	if err := fetches.Err(); err != nil {
		return 0, fmt.Errorf("side: read %s: %w", topic, err)
	}
	for _, r := range fetches.Records() {
		return r.Offset, nil
	}
	return 0, errors.New("side: " + topic + " is empty")
}

// certificate is that of a server with TLS, signed by itself.
type certificate struct {
	ca     string // file with the certificate, for clients
	config *tls.Config
	// settings have a server use it: its listener is named as always, and speaks TLS.
	settings []string
}

func newCertificate(dir string) (*certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("side: %w", err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true,
		BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("side: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("side: %w", err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	c := &certificate{ca: filepath.Join(dir, "ca.pem"), config: &tls.Config{RootCAs: x509.NewCertPool()}}
	c.config.RootCAs.AppendCertsFromPEM(public)
	store := filepath.Join(dir, "server.pem")
	both := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), public...)
	if err := errors.Join(os.WriteFile(c.ca, public, 0o644), os.WriteFile(store, both, 0o600)); err != nil {
		return nil, fmt.Errorf("side: %w", err)
	}
	c.settings = []string{"listener.security.protocol.map=PLAINTEXT:SSL,CONTROLLER:PLAINTEXT", "ssl.keystore.type=PEM", "ssl.keystore.location=" + store,
		"ssl.truststore.type=PEM", "ssl.truststore.location=" + c.ca}
	return c, nil
}
