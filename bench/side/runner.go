package side

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringmq/ringmq/bench/host"
	"github.com/ringmq/ringmq/bench/wire"
)

// Run measures everything and writes side.json and side.md. What was measured until an error or the end of the context is written too.
func Run(ctx context.Context, o Options) (*Result, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	for _, dir := range []string{o.Out, o.Work} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("side: %w", err)
		}
	}
	r := &Result{Started: time.Now(), Machine: host.Describe(o.Work), Versions: o.Versions, Profile: o.Profile, Rounds: o.Rounds, Targets: o.Targets,
		Titles: map[string]string{}, Settings: map[string][]string{}}
	for _, t := range o.Targets {
		k, _ := targetOf(t)
		r.Titles[t], r.Settings[t] = k.title, o.settingsOf(t)
	}
	took := map[string]time.Duration{} // by target, in the last round
	for round := range o.Rounds {
		for i := range o.Targets {
			// In turns: what comes first in one round comes last in the next.
			target := o.Targets[(i+round)%len(o.Targets)]
			begun := time.Now()
			o.progress("round %d of %d, target %d of %d: %s%s", round+1, o.Rounds, i+1, len(o.Targets), r.Titles[target], o.timeLeft(took, round, i, begun.Sub(r.Started)))
			if err := o.session(ctx, r, round+1, target); err != nil {
				return r, errors.Join(err, r.finish(o))
			}
			took[target] = time.Since(begun)
			if err := r.finish(o); err != nil {
				return r, err
			}
		}
	}
	return r, nil
}

// finish writes what there is.
func (r *Result) finish(o Options) error {
	r.Ended = time.Now()
	if err := r.write(filepath.Join(o.Out, "side.json")); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(o.Out, "side.md"), []byte(r.Markdown()), 0o644); err != nil {
		return fmt.Errorf("side: %w", err)
	}
	return nil
}

// timeLeft is what a line of progress says of the rest of the run: a target takes what it took in the round before, else as long as the others.
func (o Options) timeLeft(took map[string]time.Duration, round, i int, gone time.Duration) string {
	if len(took) == 0 {
		return ""
	}
	var mean, left time.Duration
	for _, d := range took {
		mean += d / time.Duration(len(took))
	}
	for n := round*len(o.Targets) + i; n < o.Rounds*len(o.Targets); n++ {
		if d, ok := took[o.Targets[(n%len(o.Targets)+n/len(o.Targets))%len(o.Targets)]]; ok {
			left += d
		} else {
			left += mean
		}
	}
	return fmt.Sprintf("; %s gone, about %s left", gone.Round(time.Second), left.Round(10*time.Second))
}

// session runs all cases of one target: first those that share a server, then those that have one of their own. Only the end of the context is an
// error; what fails is noted.
func (o Options) session(ctx context.Context, r *Result, round int, name string) error {
	var shared, own []testCase
	needed := false
	for _, c := range o.Profile.cases() {
		wanted := o.wants(name, c.name) && (c.on == nil || c.on(name))
		switch {
		case c.own == nil && (wanted || c.name == "start" || c.name == "life"):
			shared = append(shared, c)
			// The end of a life is worth running only for the sake of other cases.
			needed = needed || wanted && (c.name != "life" || len(o.Cases) > 0)
		case c.own != nil && wanted:
			own = append(own, c)
		}
	}
	if needed {
		if err := o.serve(ctx, r, round, name, nil, shared); err != nil {
			return err
		}
	}
	for _, c := range own {
		if err := o.serve(ctx, r, round, name, c.own, []testCase{c}); err != nil {
			return err
		}
	}
	return nil
}

// serve makes a server and runs cases with it, one after the other. A server of a case's own is started before the case.
func (o Options) serve(ctx context.Context, r *Result, round int, name string, own *ownServer, cases []testCase) (err error) {
	dir, err := os.MkdirTemp(o.Work, "side-"+name+"-")
	if err != nil {
		return fmt.Errorf("side: %w", err)
	}
	defer func() {
		// Before the next server starts: nothing of this one is left to be written.
		err = errors.Join(err, os.RemoveAll(dir))
		if !host.Settle(ctx) && ctx.Err() == nil {
			r.Notes = append(r.Notes, fmt.Sprintf("round %d: the disks were not at rest after %s was removed", round, name))
		}
	}()
	u := setup{dir: dir, binary: o.binaryOf(name), settings: o.settingsOf(name)}
	var cert *certificate
	if own != nil {
		u.settings, u.args, u.env = append(u.settings, own.settings...), own.args, own.env
		if own.tls {
			if cert, err = newCertificate(dir); err != nil {
				return err
			}
			u.settings = append(u.settings, cert.settings...)
		}
	}
	t, _ := targetOf(name)
	s := &session{o: o, target: name, round: round, dir: dir, own: own, cert: cert}
	s.in, err = t.make(ctx, o, u)
	if err != nil {
		if s.in != nil {
			err = errors.Join(err, s.in.close())
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.Notes = append(r.Notes, fmt.Sprintf("round %d: %s was left out: %v", round, name, err))
		o.progress("  left out: %v", err)
		return nil
	}
	defer func() {
		s.kill()
		err = errors.Join(err, s.in.close())
	}()
	unix.Sync()
	for _, c := range cases {
		r.Records = append(r.Records, o.runCase(ctx, s, c))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if rec := r.Records[len(r.Records)-1]; rec.Error != "" && (c.name == "start" || own != nil || s.gone()) {
			s.keepLog(o.Out, c.name)
			if own == nil {
				r.Notes = append(r.Notes, fmt.Sprintf("round %d: %s did not live on after case %s: %s", round, name, c.name, rec.Error))
			}
			return nil
		}
	}
	return nil
}

func (o Options) runCase(ctx context.Context, s *session, c testCase) Record {
	ctx, cancel := context.WithTimeout(ctx, o.Profile.CaseTimeout)
	defer cancel()
	if s.cert != nil {
		ctx = wire.WithTLS(ctx, s.cert.config)
	}
	rec := Record{Round: s.round, Target: s.target, Case: c.name, At: time.Now()}
	if s.own != nil {
		rec.Settings = s.own.settings
	}
	before, err := host.Take()
	if err == nil && s.own != nil {
		_, err = s.start(ctx)
	}
	if err == nil {
		err = c.run(ctx, s, &rec)
	}
	if rec.Host.Seconds == 0 { // a case that measures by itself has said so
		if now, herr := host.Take(); herr == nil {
			rec.Host = now.Since(before)
		}
	}
	if err != nil {
		rec.Error = err.Error()
	}
	o.progress("  %-18s %5.1f s  steal %4.1f %%  %s", c.name, time.Since(rec.At).Seconds(), rec.Host.StealPercent, brief(rec))
	return rec
}

// gone reports whether the server has ended.
func (s *session) gone() bool {
	select {
	case <-s.in.Exited():
		return true
	default:
		return false
	}
}

// kill ends the server if it was started and still runs.
func (s *session) kill() {
	if !s.in.Begun().IsZero() && !s.gone() {
		s.in.Kill()
	}
}

// keepLog saves the log of a server that failed.
func (s *session) keepLog(out, name string) {
	b, err := os.ReadFile(filepath.Join(s.dir, "server.log"))
	if err == nil {
		err = os.WriteFile(filepath.Join(out, fmt.Sprintf("%s-%s-round%d.log", s.target, name, s.round)), b, 0o644)
	}
	if err != nil {
		s.o.progress("  its log: %v", err)
	}
}

func (o Options) progress(format string, args ...any) {
	if o.Progress != nil {
		fmt.Fprintf(o.Progress, format+"\n", args...)
	}
}
