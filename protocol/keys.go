package protocol

import (
	"bytes"
	"hash/maphash"
)

const fewKeys = 16

// keySet finds repeated keys of one object. The first keys are compared one by
// one, which costs no allocation; an object with more gets a hash table.
type keySet struct {
	n    int
	few  [fewKeys]ref
	many *manyKeys
}

// add reports whether key was not in the set before.
func (k *keySet) add(s *scanner, key ref) bool {
	if k.many != nil {
		return k.many.add(s, key)
	}
	for _, other := range k.few[:k.n] {
		if s.sameKey(other, key) {
			return false
		}
	}
	if k.n < fewKeys {
		k.few[k.n] = key
		k.n++
		return true
	}
	k.many = s.takeManyKeys()
	for _, other := range k.few {
		k.many.add(s, other)
	}
	return k.many.add(s, key)
}

// manyKeys is an open-addressing hash table. The seed is drawn anew, so a peer
// cannot choose keys that collide.
type manyKeys struct {
	seed maphash.Seed
	refs []ref
	// table holds indexes into refs, plus 1; its length is a power of two and
	// at least twice that of refs.
	table []uint32
	// spare is the next table in scanner.spare.
	spare *manyKeys
}

func (m *manyKeys) add(s *scanner, key ref) bool {
	if 2*(len(m.refs)+1) > len(m.table) {
		m.grow(s)
	}
	slot, found := m.find(s, key)
	if found {
		return false
	}
	m.refs = append(m.refs, key)
	m.table[slot] = uint32(len(m.refs))
	return true
}

// find returns the slot of key, or the free one where it belongs.
func (m *manyKeys) find(s *scanner, key ref) (slot uint64, found bool) {
	mask := uint64(len(m.table) - 1)
	slot = maphash.Bytes(m.seed, s.bytes(key)) & mask
	for m.table[slot] != 0 {
		if s.sameKey(m.refs[m.table[slot]-1], key) {
			return slot, true
		}
		slot = (slot + 1) & mask
	}
	return slot, false
}

func (m *manyKeys) grow(s *scanner) {
	size := max(4*fewKeys, 2*len(m.table))
	if size <= cap(m.table) {
		m.table = m.table[:size]
		clear(m.table)
	} else {
		m.table = make([]uint32, size)
	}
	for i, key := range m.refs {
		slot, _ := m.find(s, key)
		m.table[slot] = uint32(i + 1)
	}
}

// takeManyKeys returns an empty table, one left over from an earlier object if
// there is one.
func (s *scanner) takeManyKeys() *manyKeys {
	if m := s.spare; m != nil {
		s.spare = m.spare
		m.refs, m.table = m.refs[:0], m.table[:0]
		return m
	}
	return &manyKeys{seed: maphash.MakeSeed(), refs: make([]ref, 0, 2*fewKeys)}
}

// release keeps the table of a finished object for a later one.
func (k *keySet) release(s *scanner) {
	if k.many != nil {
		k.many.spare = s.spare
		s.spare = k.many
	}
}

func (s *scanner) sameKey(a, b ref) bool {
	return a.size == b.size && bytes.Equal(s.bytes(a), s.bytes(b))
}
