package side

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringmq/ringmq/bench/measure"
)

// column is one column of the table.
type column struct {
	title string
	cell  func(m Metric) string
}

// columns: the floor, each target, and each RingMQ as a ratio to its opponents and to the floor.
func (r *Result) columns() []column {
	cols := []column{{"device itself", func(m Metric) string {
		if m.Floor == "" {
			return ""
		}
		var all []float64
		for _, t := range r.Targets {
			all = append(all, r.Values(t, "floor", m.Floor)...)
		}
		return spread(measure.SpreadOf(all))
	}}}
	for _, t := range r.Targets {
		cols = append(cols, column{r.Titles[t], func(m Metric) string { return r.cell(t, m) }})
	}
	against := func(t, base string) column {
		return column{r.Titles[t] + " / " + r.Titles[base], func(m Metric) string {
			return spread(measure.SpreadOf(r.ratios(t, m.Case, m.Key, base, m.Case, m.Key)))
		}}
	}
	for _, t := range r.Targets {
		if !strings.HasPrefix(t, "ringmq") {
			continue
		}
		if base := r.before(t); base != "" {
			cols = append(cols, against(t, base))
		}
		for _, base := range []string{"kafka", "kafka-synced"} {
			if slices.Contains(r.Targets, base) && (base == "kafka" || t == "ringmq") {
				cols = append(cols, against(t, base))
			}
		}
		cols = append(cols, column{r.Titles[t] + " / device", func(m Metric) string {
			if m.Floor == "" {
				return ""
			}
			return spread(measure.SpreadOf(r.ratios(t, m.Case, m.Key, t, "floor", m.Floor)))
		}})
	}
	return cols
}

// before is what a variant is compared with: its base if that was run too, else the first variant of the same base; nothing for the first.
func (r *Result) before(t string) string {
	if base := baseOf(t); base != t && slices.Contains(r.Targets, base) {
		return base
	}
	if first := slices.IndexFunc(r.Targets, func(o string) bool { return baseOf(o) == baseOf(t) }); t != baseOf(t) && r.Targets[first] != t {
		return r.Targets[first]
	}
	return ""
}

// cell is a target's value; a case that failed in every round says so, one that failed in some has a mark.
func (r *Result) cell(target string, m Metric) string {
	text, failed := spread(measure.SpreadOf(r.Values(target, m.Case, m.Key))), 0
	for _, rec := range r.Records {
		if rec.Target == target && rec.Case == m.Case && rec.Error != "" {
			failed++
		}
	}
	switch {
	case failed > 0 && text == "":
		return "failed"
	case failed > 0:
		return fmt.Sprintf("%s, failed %dx", text, failed)
	}
	return text
}

// spread is "median (lowest-highest)", just the value when there is one, nothing when there is none.
func spread(s measure.Spread) string {
	switch s.N {
	case 0:
		return ""
	case 1:
		return number(s.Median)
	}
	return fmt.Sprintf("%s (%s-%s)", number(s.Median), number(s.Min), number(s.Max))
}

// number has three significant digits and no exponent.
func number(v float64) string {
	if v == 0 || math.IsNaN(v) {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	digits := 2 - int(math.Floor(math.Log10(math.Abs(v))))
	if digits < 0 { // 12,345 keeps its digits
		digits = 0
	}
	return strconv.FormatFloat(v, 'f', min(digits, 4), 64)
}

// Markdown renders the result.
func (r *Result) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# RingMQ beside Apache Kafka\n\n%s, profile %s, %d round(s), ended after %s.\n\n", r.Started.UTC().Format("2006-01-02 15:04 UTC"), r.Profile.Name,
		r.Rounds, r.Ended.Sub(r.Started).Round(time.Second))
	b.WriteString("Median over the rounds, and in brackets the lowest and the highest. Ratios are made within a round; below 1 is better for times, above 1 for rates. " +
		"MB and GB are MiB and GiB. Client and server share the machine; the server's processor time is that of its process.\n\n")
	r.writeGoals(&b)
	r.writeTable(&b)
	r.writeFloor(&b)
	r.writeContext(&b)
	return b.String()
}

func (r *Result) writeTable(b *strings.Builder) {
	cols := r.columns()
	b.WriteString("| what | unit |")
	for _, c := range cols {
		b.WriteString(" " + c.title + " |")
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---:|", len(cols)) + "\n")
	for _, m := range r.rows() {
		if !slices.ContainsFunc(r.Records, func(rec Record) bool {
			_, ok := rec.Values[m.Key]
			return rec.Case == m.Case && (ok || rec.Error != "" && len(rec.Values) == 0 && !optional[m.Key])
		}) {
			continue
		}
		fmt.Fprintf(b, "| %s | %s |", m.Title, m.Unit)
		for _, c := range cols {
			b.WriteString(" " + c.cell(m) + " |")
		}
		b.WriteByte('\n')
	}
}

// optional are values that only some targets have.
var optional = map[string]bool{"minio_cpu_s_per_gb": true}

// writeContext says what the numbers were made on and with, and what failed.
func (r *Result) writeContext(b *strings.Builder) {
	m := r.Machine
	fmt.Fprintf(b, "\nLoad at a rate: %g MB/s offered. The column of the device has what the log does in that case: writes of 4 KiB, one at a time, beside single records; of 16 KiB, two at a time, beside "+
		"64 connections; of 64 KiB, two at a time, beside load at a rate; of 256 KiB, two at a time, beside unlimited producers; "+
		"all written beside each idle server, right before its probes. The server's processor time leaves out what the kernel does in threads of its own, such as writing "+
		"back a page cache; the whole machine's contains it. Until quiet: work that a server put off (uploads) is counted too.\n", r.Profile.LoadMB)
	fmt.Fprintf(b, "\n## Machine and versions\n\n- %d x %s, %d MiB, kernel %s, %s\n- data on %s, %s; write cache: %s; scheduler: %s\n", m.CPUs, m.Processor, m.MemoryMB, m.Kernel,
		m.System, m.Device, m.FileSystem, m.WriteCache, m.Scheduler)
	for _, k := range sortedKeys(r.Versions) {
		fmt.Fprintf(b, "- %s: %s\n", k, r.Versions[k])
	}
	b.WriteString("\n## Settings that differ from a server's defaults\n\n")
	for _, t := range r.Targets {
		fmt.Fprintf(b, "- %s: `%s`\n", r.Titles[t], strings.Join(r.Settings[t], "` `"))
	}
	for _, own := range r.ownSettings() {
		fmt.Fprintf(b, "- %s\n", own)
	}
	steal := map[string][]float64{}
	for _, rec := range r.Records {
		steal[rec.Target] = append(steal[rec.Target], rec.Host.StealPercent)
	}
	b.WriteString("\n## Processor time stolen by the hypervisor, percent, median over the cases (lowest-highest)\n\n")
	for _, t := range r.Targets {
		fmt.Fprintf(b, "- %s: %s\n", r.Titles[t], spread(measure.SpreadOf(steal[t])))
	}
	var wrong []string
	for _, rec := range r.Records {
		if rec.Error != "" {
			wrong = append(wrong, fmt.Sprintf("round %d, %s, %s: %s", rec.Round, rec.Target, rec.Case, oneLine(rec.Error)))
		}
	}
	for _, n := range r.Notes {
		wrong = append(wrong, oneLine(n))
	}
	if len(wrong) > 0 {
		b.WriteString("\n## What failed or was left out\n\n- " + strings.Join(wrong, "\n- ") + "\n")
	}
}

// ownSettings are those that single cases have for their servers.
func (r *Result) ownSettings() (out []string) {
	for _, rec := range r.Records {
		if line := fmt.Sprintf("in case %s also: `%s`", rec.Case, strings.Join(rec.Settings, "` `")); len(rec.Settings) > 0 && !slices.Contains(out, line) {
			out = append(out, line)
		}
	}
	return out
}

func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	return s[:min(len(s), 400)]
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// brief is a record on a line of progress.
func brief(rec Record) string {
	if rec.Error != "" {
		return "FAILED: " + oneLine(rec.Error)
	}
	var parts []string
	for _, m := range Metrics {
		if v, ok := rec.Values[m.Key]; ok && (m.Case == rec.Case || strings.HasSuffix(m.Case, "-") && strings.HasPrefix(rec.Case, m.Case)) {
			parts = append(parts, fmt.Sprintf("%s %s", m.Key, number(v)))
		}
	}
	return strings.Join(parts, "  ")
}
