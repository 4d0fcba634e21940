package streams

import (
	"cmp"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/group/streams/sticky"
)

// TaskID names a task: the part of a subtopology that reads one partition of each of its source topics.
type TaskID = sticky.Task

// Role is what a member does with a task.
type Role int

// The roles, in the order that records and answers have them.
const (
	Active  Role = iota // reads, writes and commits
	Standby             // follows the changelog
	Warmup              // follows the changelog, to become active
	roles
)

// Set is tasks, each with the epoch at which its member got it; 0 but for active tasks. Never modified once it is in a member.
type Set map[TaskID]int32

// Tasks are tasks by role.
type Tasks [roles]Set

// Empty reports whether there are none.
func (t *Tasks) Empty() bool { return t.Count() == 0 }

// Count is the number of tasks of all roles.
func (t *Tasks) Count() int {
	n := 0
	for _, set := range t {
		n += len(set)
	}
	return n
}

// equal compares tasks and epochs.
func (t *Tasks) equal(o *Tasks) bool {
	return t.all(func(role Role, id TaskID, epoch int32) bool {
		other, ok := o[role][id]
		return ok && other == epoch
	}) && t.Count() == o.Count()
}

// all reports whether fn is true for each task.
func (t *Tasks) all(fn func(role Role, id TaskID, epoch int32) bool) bool {
	for role, set := range t {
		for id, epoch := range set {
			if !fn(Role(role), id, epoch) {
				return false
			}
		}
	}
	return true
}

// within reports whether all the tasks are among others, in the same role.
func (t *Tasks) within(o *Tasks) bool {
	return t.all(func(role Role, id TaskID, _ int32) bool { return o.has(role, id) })
}

// apart reports whether none of the tasks is among others, in the same role.
func (t *Tasks) apart(o *Tasks) bool {
	return t.all(func(role Role, id TaskID, _ int32) bool { return !o.has(role, id) })
}

func (t *Tasks) has(role Role, id TaskID) bool {
	_, ok := t[role][id]
	return ok
}

func (t *Tasks) add(role Role, id TaskID, epoch int32) {
	if t[role] == nil {
		t[role] = make(Set)
	}
	if role != Active {
		epoch = 0
	}
	t[role][id] = epoch
}

// compareTasks orders by subtopology, then by partition.
func compareTasks(a, b TaskID) int {
	return cmp.Or(strings.Compare(a.Subtopology, b.Subtopology), cmp.Compare(a.Partition, b.Partition))
}

// sorted lists the tasks of a set.
func (s Set) sorted() []TaskID {
	ids := make([]TaskID, 0, len(s))
	for id := range s {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, compareTasks)
	return ids
}

// Wire is the set as messages have it: never nil, by subtopology, partitions ascending.
func (s Set) Wire() []kmsg.TaskIDs {
	out := []kmsg.TaskIDs{}
	for _, id := range s.sorted() {
		if n := len(out); n == 0 || out[n-1].SubtopologyID != id.Subtopology {
			out = append(out, kmsg.TaskIDs{SubtopologyID: id.Subtopology})
		}
		last := &out[len(out)-1]
		last.Partitions = append(last.Partitions, id.Partition)
	}
	return out
}

// reported are the tasks that a request says its sender has; nil when it does not say.
func reported(req *kmsg.StreamsGroupHeartbeatRequest) *Tasks {
	if req.ActiveTasks == nil || req.StandbyTasks == nil || req.WarmupTasks == nil {
		return nil
	}
	t := new(Tasks)
	for role, list := range [roles][]kmsg.TaskIDs{req.ActiveTasks, req.StandbyTasks, req.WarmupTasks} {
		for i := range list {
			for _, p := range list[i].Partitions {
				t.add(Role(role), TaskID{Subtopology: list[i].SubtopologyID, Partition: p}, 0)
			}
		}
	}
	return t
}
