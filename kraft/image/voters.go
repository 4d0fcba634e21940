package image

import (
	"errors"
	"fmt"

	"github.com/ringmq/ringmq/kraft/record"
)

// Voters are the members of the quorum, learners too, ascending by id. Empty until the first controller has written down whom the cluster was
// founded with. Shared, read-only.
func (i *Image) Voters() []record.Voter { return i.voters }

// Voter finds a member of the quorum; ok is false if there is none with that id.
func (i *Image) Voter(id int32) (v record.Voter, ok bool) {
	for _, v := range i.voters {
		if v.ID == id {
			return v, true
		}
	}
	return record.Voter{}, false
}

func (b *Builder) voterSet(r *record.VoterSet) error {
	voting := 0
	for n, v := range r.Voters {
		switch {
		case v.ID < 0:
			return fmt.Errorf("voter id %d is negative", v.ID)
		case n > 0 && v.ID <= r.Voters[n-1].ID:
			return fmt.Errorf("voter id %d follows %d", v.ID, r.Voters[n-1].ID)
		}
		if !v.Learner {
			voting++
		}
	}
	if voting == 0 {
		return errors.New("nobody is left to vote")
	}
	b.img.voters = r.Voters
	return nil
}
