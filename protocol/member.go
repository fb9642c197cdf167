package protocol

// Member returns the JSON text of one member of a JSON object, or nil if data is
// no object or has no such member. It shares its memory with data and looks no
// further than the first thing that is wrong there: for data that Decode let
// through.
func Member(data []byte, name string) (raw []byte) {
	eachMember(data, func(s *scanner, i int, key string) int {
		end := s.value(i)
		if key == name && end >= 0 {
			raw = data[i:end]
		}
		return end
	})
	return raw
}
