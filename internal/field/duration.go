package field

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time: numbers with the units h, m, s and ms, or whole
// days alone, for example 720h, 1h30m, 1.5h or 30d.
//
// +kubebuilder:validation:MaxLength=32
// +kubebuilder:validation:XValidation:rule=`self.matches(r'^([0-9]{1,5}d|([0-9]{1,5}([.][0-9]{1,3})?(h|m|s|ms))+)$')`,message="is not a duration such as 90m, 1h30m or 30d: write numbers of at most five digits, each with one of h, m, s and ms, or whole days alone"
type Duration string

// maxDuration is the longest text of a duration. With at most five digits to a
// number no duration of that length is more than Go can count.
const maxDuration = 32

var duration = regexp.MustCompile(`^([0-9]{1,5}d|([0-9]{1,5}([.][0-9]{1,3})?(h|m|s|ms))+)$`)

// Value returns the length of time, 0 for an empty or invalid duration.
func (d Duration) Value() time.Duration {
	v, _ := d.parse()
	return v
}

func (d Duration) parse() (time.Duration, bool) {
	if len(d) > maxDuration || !duration.MatchString(string(d)) {
		return 0, false
	}
	if days, ok := strings.CutSuffix(string(d), "d"); ok {
		n, _ := strconv.Atoi(days) // five digits always fit
		return time.Duration(n) * 24 * time.Hour, true
	}
	v, err := time.ParseDuration(string(d))
	return v, err == nil
}

// Duration adds a problem unless the duration is empty or valid and between
// least and most.
func (p *Problems) Duration(name string, d Duration, least, most time.Duration) {
	switch v, ok := d.parse(); {
	case d == "":
	case !ok:
		p.Addf("%s %s is not a duration such as 90m, 1h30m or 30d: write numbers of at most five digits, each with one of h, m, s and ms, or whole days alone", name, Quote(string(d)))
	case v < least:
		p.Addf("%s %s is too short: write at least %s", name, Quote(string(d)), Short(least))
	case v > most:
		p.Addf("%s %s is too long: write at most %s", name, Quote(string(d)), Short(most))
	}
}

// Short writes a duration without the units that are zero at its end.
func Short(d time.Duration) string {
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}
