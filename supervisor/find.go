package supervisor

import "strings"

// Find looks a child up by its path, like "agent/channels/x", anywhere in the tree under s. It returns the supervisor
// that has the child, and the id that the methods there take. ErrNotFound is returned for a path that does not begin
// with that of s, is the path of s itself, or leads to no child; ids with slashes are found too.
func (s *Supervisor) Find(path string) (of *Supervisor, id string, err error) {
	rest, ok := strings.CutPrefix(path, s.place.Load().path+"/")
	if ok {
		if of, id = s.find(rest); of != nil {
			return of, id, nil
		}
	}
	return nil, "", &Error{Code: CodeNotFound, Child: path}
}

func (s *Supervisor) find(path string) (of *Supervisor, id string) {
	for i := 0; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			continue
		}
		sub, ok := s.lookUp(path[:i])
		switch {
		case ok && i == len(path):
			return s, path
		case sub != nil:
			if of, id = sub.find(path[i+1:]); of != nil {
				return of, id
			}
		}
	}
	return nil, ""
}

// lookUp returns the supervisor that child id is, if it is one; ok reports whether there is such a child.
func (s *Supervisor) lookUp(id string) (sub *Supervisor, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.core == nil {
		return nil, false
	}
	c, ok := s.core.kids[id]
	if ok && c.rare != nil {
		sub = c.rare.sub
	}
	return sub, ok
}
