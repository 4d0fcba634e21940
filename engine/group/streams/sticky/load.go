package sticky

import "container/heap"

// load is the processes by how many tasks they have for each member: a heap.
type load []*process

func (l load) Len() int           { return len(l) }
func (l load) Less(i, j int) bool { return l[i].less(l[j]) }
func (l load) Swap(i, j int)      { l[i], l[j] = l[j], l[i]; l[i].place, l[j].place = i, j }
func (l *load) Push(x any)        { p := x.(*process); p.place = len(*l); *l = append(*l, p) }
func (l *load) Pop() any {
	last := len(*l) - 1
	p := (*l)[last]
	*l = (*l)[:last]
	return p
}

func (l *load) reset(processes []*process) {
	*l = append((*l)[:0], processes...)
	for i, p := range *l {
		p.place = i
	}
	heap.Init(l)
}

// least is the process with the least. REQUIRES: there is one.
func (l load) least() *process { return l[0] }

// fix notes that a process has another load.
func (l *load) fix(p *process) { heap.Fix(l, p.place) }

// leastWithout is the process with the least of those that do not have a task; nil: all have it.
func (l *load) leastWithout(task Task) *process {
	var passed []*process
	var found *process
	for len(*l) > 0 && found == nil {
		p := heap.Pop(l).(*process)
		passed = append(passed, p)
		if _, has := p.has[task]; !has {
			found = p
		}
	}
	for _, p := range passed {
		heap.Push(l, p)
	}
	return found
}
