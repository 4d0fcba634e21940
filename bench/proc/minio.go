package proc

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/ringmq/ringmq/tools/freeport"
)

// MinIO is a MinIO server as a process, on a directory. Stop and Start again keep port and data.
type MinIO struct {
	Binary string // default: $RINGMQ_MINIO, else ~/.cache/ringmq/bin/minio
	Dir    string
	Bucket string   // created at the first Start
	Host   string   // the address that it listens on, default 127.0.0.1
	Wrap   []string // put before the command, to run it on a host of package lab
	port   int
	*Process
}

// The credentials of the server.
const (
	MinIOUser     = "ringmq"
	MinIOPassword = "ringmq=secret/1"
)

// Endpoint is the server's URL.
func (m *MinIO) Endpoint() string {
	return fmt.Sprintf("http://%s:%d", cmp.Or(m.Host, "127.0.0.1"), m.port)
}

// BucketURI is the value of s3.data.buckets for the bucket.
func (m *MinIO) BucketURI() string {
	return fmt.Sprintf("0@s3://%s?endpoint=%s&region=us-east-1&pathStyle=true&accessKey=%s&secretKey=ringmq%%3Dsecret%%2F1", m.Bucket, m.Endpoint(), MinIOUser)
}

// Start starts the server and waits until it is ready.
func (m *MinIO) Start(ctx context.Context) error {
	if m.Binary == "" {
		m.Binary = os.Getenv("RINGMQ_MINIO")
	}
	if m.Binary == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return fmt.Errorf("proc: %w", err)
		}
		m.Binary = filepath.Join(home, ".cache", "ringmq", "bin", "minio")
	}
	if _, err := os.Stat(m.Binary); err != nil {
		return fmt.Errorf("proc: no MinIO binary (make minio builds it): %w", err)
	}
	if m.port == 0 {
		var err error
		if m.port, err = freeport.Get(); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(m.Dir, "data"), 0o755); err != nil {
		return fmt.Errorf("proc: %w", err)
	}
	args := append(slices.Clone(m.Wrap), m.Binary, "server", "--quiet", "--address", m.Endpoint()[len("http://"):], filepath.Join(m.Dir, "data"))
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "MINIO_ROOT_USER="+MinIOUser, "MINIO_ROOT_PASSWORD="+MinIOPassword, "MINIO_BROWSER=off")
	p, err := Start("minio", filepath.Join(m.Dir, "minio.log"), cmd)
	if err != nil {
		return err
	}
	m.Process = p
	if err := p.WaitReady(ctx, m.ready); err != nil {
		p.Kill()
		return err
	}
	return m.createBucket(ctx)
}

func (m *MinIO) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.Endpoint()+"/minio/health/ready", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("health check: %s", resp.Status)
	}
	return nil
}

func (m *MinIO) createBucket(ctx context.Context) error {
	cl, err := minio.New(m.Endpoint()[len("http://"):], &minio.Options{Creds: credentials.NewStaticV4(MinIOUser, MinIOPassword, ""), Region: "us-east-1"})
	if err != nil {
		return fmt.Errorf("proc: %w", err)
	}
	exists, err := cl.BucketExists(ctx, m.Bucket)
	if err == nil && !exists {
		err = cl.MakeBucket(ctx, m.Bucket, minio.MakeBucketOptions{Region: "us-east-1"})
	}
	if err != nil {
		return fmt.Errorf("proc: bucket %s: %w", m.Bucket, err)
	}
	return nil
}
