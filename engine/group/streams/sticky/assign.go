package sticky

import (
	"cmp"
	"slices"
	"strings"
)

// Task names a task: the part of a subtopology that reads one partition of each of its source topics.
type Task struct {
	Subtopology string
	Partition   int32
}

// Member of a group, with the tasks that it was assigned last.
type Member struct {
	ID, Process     string
	Active, Standby []Task
}

// Subtopology is what there is to share out.
type Subtopology struct {
	ID       string
	Tasks    int32
	Stateful bool
}

// Group is the input. Members have different ids.
type Group struct {
	Members       []Member
	Subtopologies []Subtopology
	Standbys      int // copies of each task with state, as far as there are processes for them
}

// Assignment is the tasks of a member.
type Assignment struct{ Active, Standby []Task }

// Assign shares the tasks out. The result has every member. It depends on nothing but the input, in whatever order that is.
func Assign(g *Group) map[string]*Assignment {
	w := newWork(g)
	if len(w.processes) == 0 {
		return map[string]*Assignment{}
	}
	w.assignActive(w.tasks(g, func(*Subtopology) bool { return true }))
	if g.Standbys > 0 {
		w.assignStandby(w.tasks(g, func(s *Subtopology) bool { return s.Stateful }), g.Standbys)
	}
	out := make(map[string]*Assignment, len(w.members))
	for _, m := range w.members {
		out[m.id] = &m.assigned
	}
	return out
}

// member and process are the state of the work.
type member struct {
	id       string
	process  *process
	tasks    int // of both roles
	assigned Assignment
}

type process struct {
	id      string
	members []*member // by id
	has     map[Task]struct{}
	place   int // in load
}

// less orders processes by their tasks for each member.
func (p *process) less(o *process) bool {
	if a, b := len(p.has)*len(o.members), len(o.has)*len(p.members); a != b {
		return a < b
	}
	return p.id < o.id
}

// idlest is the member with the fewest tasks.
func (p *process) idlest() *member {
	return slices.MinFunc(p.members, func(a, b *member) int { return cmp.Or(cmp.Compare(a.tasks, b.tasks), strings.Compare(a.id, b.id)) })
}

// quota is how many tasks a member may keep: an equal part, rounded up, of what those that are not full share.
type quota struct{ tasks, members, each int }

func newQuota(tasks, members int) quota {
	q := quota{tasks: tasks, members: members}
	q.divide()
	return q
}

func (q *quota) divide() {
	q.each = 0
	if q.members > 0 {
		q.each = (q.tasks + q.members - 1) / q.members
	}
}

// took notes that a member has n tasks now.
func (q *quota) took(n int) {
	if n == q.each {
		q.members--
		q.tasks -= n
		q.divide()
	}
}

type work struct {
	members   []*member // by id
	processes []*process
	active    quota // of active tasks
	all       quota // of all tasks
	was       map[Task]*member
	stoodBy   map[Task][]*member
	load      load
}

func newWork(g *Group) *work {
	w := &work{was: make(map[Task]*member), stoodBy: make(map[Task][]*member)}
	byID := make(map[string]*process)
	given := slices.Clone(g.Members)
	slices.SortFunc(given, func(a, b Member) int { return strings.Compare(a.ID, b.ID) })
	for i := range given {
		p := byID[given[i].Process]
		if p == nil {
			p = &process{id: given[i].Process, has: make(map[Task]struct{})}
			byID[p.id] = p
			w.processes = append(w.processes, p)
		}
		m := &member{id: given[i].ID, process: p}
		p.members = append(p.members, m)
		w.members = append(w.members, m)
		for _, task := range given[i].Active {
			w.was[task] = m
		}
		for _, task := range given[i].Standby {
			w.stoodBy[task] = append(w.stoodBy[task], m)
		}
	}
	active, copies := 0, 0
	for i := range g.Subtopologies {
		active += int(g.Subtopologies[i].Tasks)
		if g.Subtopologies[i].Stateful {
			copies += int(g.Subtopologies[i].Tasks) * g.Standbys
		}
	}
	w.active, w.all = newQuota(active, len(w.members)), newQuota(active+copies, len(w.members))
	return w
}

func (w *work) tasks(g *Group, of func(s *Subtopology) bool) []Task {
	var all []Task
	for i := range g.Subtopologies {
		s := &g.Subtopologies[i]
		for p := int32(0); of(s) && p < s.Tasks; p++ {
			all = append(all, Task{s.ID, p})
		}
	}
	return all
}

// byPartition keeps tasks of the same partition together, which read the same partitions of repartition topics; bySubtopology spreads the
// tasks of one subtopology.
func byPartition(a, b Task) int {
	return cmp.Or(cmp.Compare(a.Partition, b.Partition), strings.Compare(a.Subtopology, b.Subtopology))
}

func bySubtopology(a, b Task) int {
	return cmp.Or(strings.Compare(a.Subtopology, b.Subtopology), cmp.Compare(a.Partition, b.Partition))
}

// give assigns a task.
func (w *work) give(m *member, task Task, active bool) {
	m.process.has[task] = struct{}{}
	if m.tasks++; active {
		m.assigned.Active = append(m.assigned.Active, task)
		w.active.took(m.tasks)
	} else {
		m.assigned.Standby = append(m.assigned.Standby, task)
	}
	w.all.took(m.tasks)
}

func (w *work) assignActive(tasks []Task) {
	slices.SortFunc(tasks, byPartition)
	keep := func(tasks []Task, at func(Task) *member) []Task {
		return slices.DeleteFunc(tasks, func(task Task) bool {
			m := at(task)
			if m == nil || m.tasks >= w.active.each {
				return false
			}
			w.give(m, task, true)
			return true
		})
	}
	tasks = keep(tasks, func(task Task) *member { return w.was[task] })
	tasks = keep(tasks, func(task Task) *member { return idlestOf(w.stoodBy[task], nil) })
	slices.SortFunc(tasks, bySubtopology)
	w.load.reset(w.processes)
	for _, task := range tasks {
		p := w.load.least()
		w.give(p.idlest(), task, true)
		w.load.fix(p)
	}
}

// idlestOf chooses among members that had a task: the first, unless both another process and the member in it have less. without leaves
// out processes that have the task already.
func idlestOf(members []*member, without *Task) *member {
	var best *member
	for _, m := range members {
		if without != nil {
			if _, has := m.process.has[*without]; has {
				continue
			}
		}
		if best == nil || m.tasks < best.tasks && len(m.process.has)*len(best.process.members) < len(best.process.has)*len(m.process.members) {
			best = m
		}
	}
	return best
}

// assignStandby assigns the copies, to processes that do not have the task. When there are too few of these, there are fewer copies.
func (w *work) assignStandby(tasks []Task, copies int) {
	slices.SortFunc(tasks, func(a, b Task) int { return byPartition(b, a) })
	type rest struct {
		task Task
		n    int
	}
	var rests []rest
	for _, task := range tasks {
		for n := copies; n > 0; n-- {
			m := w.was[task]
			if m != nil {
				if _, has := m.process.has[task]; has || m.tasks >= w.all.each {
					m = nil
				}
			}
			if m == nil {
				if m = idlestOf(w.stoodBy[task], &task); m != nil && m.tasks >= w.all.each {
					m = nil
				}
			}
			if m == nil {
				rests = append(rests, rest{task, n})
				break
			}
			w.give(m, task, false)
		}
	}
	slices.SortFunc(rests, func(a, b rest) int { return bySubtopology(b.task, a.task) })
	w.load.reset(w.processes)
	for _, r := range rests {
		for range r.n {
			p := w.load.leastWithout(r.task)
			if p == nil {
				break
			}
			w.give(p.idlest(), r.task, false)
			w.load.fix(p)
		}
	}
}
