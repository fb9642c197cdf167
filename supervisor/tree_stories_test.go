package supervisor

import (
	"errors"
	"fmt"
	"strings"
)

// Stories are what events tell of incarnations.
type stories struct {
	f    *forest
	now  map[string]story // by path
	lost map[string]int   // abandoned and not returned, by path and generation
}

type story struct {
	generation uint64
	last       Kind // 0 before the first
	up         bool // there was a Started
}

func (s *stories) enter(e Event) {
	path := e.Supervisor + "/" + e.Child
	key := fmt.Sprint(path, "#", e.Generation)
	switch e.Kind {
	case Returned:
		if s.lost[key]--; s.lost[key] < 0 {
			s.f.fail("%v: was not abandoned", e)
		}
		return
	case Abandoned:
		s.lost[key]++
	}
	was := s.now[path]
	if e.Generation != was.generation {
		if e.Generation != was.generation+1 || !was.over() {
			s.f.fail("%v: comes after %+v", e, was)
		}
		was = story{generation: e.Generation}
	}
	if !was.mayBe(e) {
		s.f.fail("%v: comes after %+v", e, was)
	}
	was.up = was.up || e.Kind == Started
	was.last = e.Kind
	s.now[path] = was
	if e.Kind != Started && e.Kind != Abandoned {
		s.close(path)
	}
}

func (s *story) over() bool { return s.last != Started }

func (s *story) mayBe(e Event) bool {
	switch s.last {
	case 0:
		return e.Kind != Stopped
	case Started:
		return e.Kind != Started && e.Kind != Cancelled
	case Failed:
		return e.Kind == Cancelled && e.Reason == nil
	case Abandoned:
		late := e.Kind == Failed || e.Kind == Ended || e.Kind == GaveUp
		return !s.up && late && errors.Is(e.Reason, ErrStartTimeout)
	}
	return false
}

// close checks that all stories below path have come to their end, and forgets them: a supervisor that is made anew
// begins to count anew.
func (s *stories) close(path string) {
	for below, story := range s.now {
		if !strings.HasPrefix(below, path+"/") {
			continue
		}
		if !story.over() {
			s.f.fail("%s#%d has no end", below, story.generation)
		}
		delete(s.now, below)
	}
}
