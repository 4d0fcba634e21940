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
		r.Titles[t], r.Settings[t] = targets[t].title, o.settingsOf(t)
	}
	for round := range o.Rounds {
		for i := range o.Targets {
			// In turns: what comes first in one round comes last in the next.
			target := o.Targets[(i+round)%len(o.Targets)]
			if err := o.session(ctx, r, round+1, target); err != nil {
				return r, errors.Join(err, r.finish(o))
			}
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

// session runs all cases of one target. Only the end of the context is an error; what fails is noted.
func (o Options) session(ctx context.Context, r *Result, round int, name string) (err error) {
	dir, err := os.MkdirTemp(o.Work, "side-"+name+"-")
	if err != nil {
		return fmt.Errorf("side: %w", err)
	}
	defer func() {
		// Before the next server starts: nothing of this one is left to be written.
		err = errors.Join(err, os.RemoveAll(dir))
		unix.Sync()
	}()
	o.progress("round %d: %s", round, targets[name].title)
	s := &session{o: o, target: name, round: round, dir: dir}
	s.in, err = targets[name].make(ctx, o, dir, o.settingsOf(name))
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
	for _, c := range o.Profile.cases() {
		if c.name != "start" && c.name != "life" && !o.wants(name, c.name) {
			continue
		}
		r.Records = append(r.Records, o.runCase(ctx, s, c))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if rec := r.Records[len(r.Records)-1]; rec.Error != "" && (c.name == "start" || s.gone()) {
			s.keepLog(o.Out)
			r.Notes = append(r.Notes, fmt.Sprintf("round %d: %s did not live on after case %s: %s", round, name, c.name, rec.Error))
			return nil
		}
	}
	return nil
}

func (o Options) runCase(ctx context.Context, s *session, c testCase) Record {
	ctx, cancel := context.WithTimeout(ctx, o.Profile.CaseTimeout)
	defer cancel()
	rec := Record{Round: s.round, Target: s.target, Case: c.name, At: time.Now()}
	before, err := host.Take()
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
func (s *session) keepLog(out string) {
	b, err := os.ReadFile(filepath.Join(s.dir, "server.log"))
	if err == nil {
		err = os.WriteFile(filepath.Join(out, fmt.Sprintf("%s-round%d.log", s.target, s.round)), b, 0o644)
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
