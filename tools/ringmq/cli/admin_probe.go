package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/engine/config/storagedir"
	"github.com/ringmq/ringmq/s3stream/objstore"
)

// pinger tries an object store for generate-s3-url and prints one line for each probe.
type pinger struct {
	p        Program
	flags    s3URLFlags
	url      config.S3URL    // what will be printed; scheme and path style become those that were found
	conf     objstore.Config // how the probes talk to the store; the bucket changes
	keysFrom []string        // the environment variables that the keys came from: access key, secret key and further ones
}

// probeNames are the probes in order.
var probeNames = []string{"Write object", "RangeRead object", "Delete object", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "UploadPartCopy", "Delete objects"}

// look finds out whether somebody answers at the endpoint, and whether it speaks what the flags say. Without a word of theirs it
// takes what it finds.
func (g *pinger) look(ctx context.Context) error {
	scheme, host, _ := strings.Cut(g.url.Endpoint, "://")
	given := g.flags.protocolGiven || strings.Contains(g.flags.endpoint, "://")
	if proxy, err := http.ProxyFromEnvironment(&http.Request{URL: &url.URL{Scheme: scheme, Host: host}}); err != nil || proxy != nil {
		return nil // only the proxy sees the endpoint
	}
	addr := host
	if _, _, err := net.SplitHostPort(host); err != nil {
		port := "443"
		if scheme == "http" {
			port = "80"
		}
		addr = net.JoinHostPort(strings.Trim(host, "[]"), port)
	}
	ctx, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	found, err := objstore.Scheme(ctx, addr)
	if err == nil && found != scheme && given {
		err = fmt.Errorf("%w: %s speaks %s, not %s", objstore.ErrWrongScheme, addr, found, scheme)
	}
	if err != nil {
		for _, name := range probeNames {
			g.failed(name, "not tried: "+brief(err))
		}
		return fmt.Errorf("generate-s3-url: %w; %s", err, g.advice(ctx, "", err))
	}
	if found != scheme {
		fmt.Fprintf(g.p.Stdout, "(found out: the endpoint speaks %s)\n", found)
	}
	g.url.Endpoint = found + "://" + host
	g.conf.Endpoint = g.url.Endpoint
	return nil
}

func (g *pinger) ok(name string) { fmt.Fprintf(g.p.Stdout, "[ OK ] %s\n", name) }

func (g *pinger) failed(name, why string) { fmt.Fprintf(g.p.Stdout, "[ FAILED ] %s: %s\n", name, why) }

// bucket runs the probes on a bucket, all of them, and returns the failures with what to do about them.
func (g *pinger) bucket(ctx context.Context, name string) error {
	g.conf.Bucket = name
	if g.flags.createBuckets {
		created, err := objstore.MakeBucket(ctx, g.conf)
		if err != nil {
			for _, probe := range probeNames {
				g.failed(probe, "not tried: the bucket could not be created: "+brief(err))
			}
			return fmt.Errorf("generate-s3-url: create bucket %s: %w; %s", name, err, g.advice(ctx, "", err))
		}
		if created {
			fmt.Fprintf(g.p.Stdout, "(bucket %s created)\n", name)
		}
	}
	if !g.flags.pathStyleIs {
		g.findPathStyle(ctx)
	}
	run, err := g.newRun(ctx)
	if err != nil {
		return err
	}
	problems := run.all(ctx)
	if len(problems) == 0 {
		return nil
	}
	first := problems[0]
	var advice []string
	for _, f := range problems {
		if a := g.advice(ctx, f.probe, f.err); len(advice) == 0 || advice[len(advice)-1] != a {
			advice = append(advice, a)
		}
	}
	if g.flags.pathStyleIs && g.otherStyleWorks(ctx) {
		wrong := g.flags.pathStyle
		advice = []string{fmt.Sprintf("path style: the store takes requests with --s3-path-style=%t and not with --s3-path-style=%t: leave the flag out or turn it round", !wrong, wrong)}
	}
	if run.left != "" {
		advice = append(advice, "left behind in the bucket: "+run.left)
	}
	return fmt.Errorf("generate-s3-url: %s in bucket %s: %w; %s", first.probe, name, first.err, strings.Join(advice, "; "))
}

// findPathStyle chooses how to address the bucket: as minio-go guesses (the bucket in the host's name for the public clouds, in the path for
// all others), unless that fails and the other way works.
func (g *pinger) findPathStyle(ctx context.Context) {
	guess := objstore.PathStyleOn
	if objstore.PublicCloud(g.conf.Endpoint) {
		guess = objstore.PathStyleOff
	}
	g.conf.PathStyle = guess
	if !g.writable(ctx, guess) && g.otherStyleWorks(ctx) {
		g.conf.PathStyle = otherStyle(guess)
	}
	g.url.PathStyle = config.PathStyleOff
	if g.conf.PathStyle == objstore.PathStyleOn {
		g.url.PathStyle = config.PathStyleOn
	}
}

func otherStyle(s objstore.PathStyle) objstore.PathStyle {
	if s == objstore.PathStyleOn {
		return objstore.PathStyleOff
	}
	return objstore.PathStyleOn
}

// otherStyleWorks reports whether an object can be written when the bucket is addressed in the other way.
func (g *pinger) otherStyleWorks(ctx context.Context) bool {
	return g.writable(ctx, otherStyle(g.conf.PathStyle))
}

func (g *pinger) writable(ctx context.Context, style objstore.PathStyle) bool {
	c := g.conf
	c.PathStyle = style
	b, err := objstore.Open(ctx, c)
	if err != nil {
		return false
	}
	key := pingPrefix + storagedir.NewID() + "/style"
	if b.Put(ctx, key, pingText) != nil {
		return false
	}
	_ = b.Delete(ctx, key) // a probe of its own tells whether that may be done
	return true
}

// pingPrefix is where the probes write.
const pingPrefix = "_ringmq/ping/"

var pingText = []byte("RingMQ pings this bucket\n")

// problem is a probe that failed.
type problem struct {
	probe string
	err   error
}

// pingRun is one pass of the probes over a bucket.
type pingRun struct {
	g        *pinger
	b        objstore.Bucket
	one, two string // keys
	upload   string // id; empty: none was created
	part     objstore.Part
	complete bool   // the object one is there again, as a multipart upload
	left     string // what could not be removed
}

func (g *pinger) newRun(ctx context.Context) (*pingRun, error) {
	b, err := objstore.Open(ctx, g.conf)
	if err != nil {
		return nil, fmt.Errorf("generate-s3-url: %w", err)
	}
	prefix := pingPrefix + storagedir.NewID()
	return &pingRun{g: g, b: b, one: prefix + "/one", two: prefix + "/two"}, nil
}

// errNeeds: a probe could not be tried because of an earlier failure, which is the one to look at.
var errNeeds = errors.New("not tried: needs ")

// all runs every probe. Once the store cannot be talked to at all, the rest is not tried.
func (r *pingRun) all(ctx context.Context) (out []problem) {
	var dead error
	for i, run := range []func(context.Context) error{r.write, r.read, r.remove, r.create, r.uploadPart, r.completeUpload, r.copyPart, r.removeAll} {
		name := probeNames[i]
		if dead != nil {
			r.g.failed(name, "not tried: "+brief(dead))
			continue
		}
		err := run(ctx)
		switch {
		case err == nil:
			r.g.ok(name)
		case errors.Is(err, errNeeds):
			r.g.failed(name, err.Error())
		default:
			r.g.failed(name, brief(err))
			out = append(out, problem{name, err})
			if errors.Is(err, objstore.ErrUnreachable) || errors.Is(err, objstore.ErrUntrusted) || errors.Is(err, objstore.ErrWrongScheme) || ctx.Err() != nil {
				dead = err
			}
		}
	}
	return out
}

func needs(what string) error { return fmt.Errorf("%w%s", errNeeds, what) }

func (r *pingRun) write(ctx context.Context) error { return r.b.Put(ctx, r.one, pingText) }

func (r *pingRun) read(ctx context.Context) error {
	got := make([]byte, 5)
	err := r.b.GetRange(ctx, r.one, 7, got)
	if errors.Is(err, objstore.ErrNotFound) {
		return needs("Write object")
	}
	if err == nil && !bytes.Equal(got, pingText[7:12]) {
		return fmt.Errorf("%w: read %q, wrote %q", objstore.ErrChecksum, got, pingText[7:12])
	}
	return err
}

func (r *pingRun) remove(ctx context.Context) error { return r.b.Delete(ctx, r.one) }

func (r *pingRun) create(ctx context.Context) (err error) {
	r.upload, err = r.b.CreateUpload(ctx, r.one)
	return err
}

func (r *pingRun) uploadPart(ctx context.Context) (err error) {
	if r.upload == "" {
		return needs("CreateMultipartUpload")
	}
	r.part, err = r.b.UploadPart(ctx, r.one, r.upload, 1, pingText)
	return err
}

func (r *pingRun) completeUpload(ctx context.Context) error {
	if r.part.ETag == "" {
		if r.upload != "" {
			_ = r.b.AbortUpload(ctx, r.one, r.upload) // the part's error is the one that matters
		}
		return needs("UploadPart")
	}
	err := r.b.CompleteUpload(ctx, r.one, r.upload, []objstore.Part{r.part})
	r.complete = err == nil
	return err
}

func (r *pingRun) copyPart(ctx context.Context) error {
	if !r.complete {
		return needs("CompleteMultipartUpload")
	}
	upload, err := r.b.CreateUpload(ctx, r.two)
	if err != nil {
		return err
	}
	part, err := r.b.CopyPart(ctx, r.two, upload, 1, r.one, 0, int64(len(pingText)))
	if err != nil {
		_ = r.b.AbortUpload(ctx, r.two, upload) // the copy's error is the one that matters
		return err
	}
	return r.b.CompleteUpload(ctx, r.two, upload, []objstore.Part{part})
}

func (r *pingRun) removeAll(ctx context.Context) error {
	err := r.b.Delete(ctx, r.one, r.two)
	if err != nil && r.complete {
		r.left = r.one + ", " + r.two
	}
	return err
}

// brief is an error in a few words: the store's code where it answered.
func brief(err error) string {
	if code := objstore.Code(err); code != "" {
		return code
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	for _, e := range []error{objstore.ErrNoSuchHost, objstore.ErrWrongScheme, objstore.ErrUntrusted, objstore.ErrUnreachable, objstore.ErrChecksum} {
		if errors.Is(err, e) {
			return strings.TrimPrefix(e.Error(), "objstore: ")
		}
	}
	return err.Error()
}

// absoluteFile makes the path of a file absolute and finds out whether it can be read.
func absoluteFile(path *string) (err error) {
	if *path == "" {
		return nil
	}
	if *path, err = filepath.Abs(*path); err != nil {
		return err
	}
	f, err := os.Open(*path)
	if err != nil {
		return err
	}
	return f.Close()
}
