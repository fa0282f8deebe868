package tiny

import "testing"

func TestCheap(t *testing.T) {
	for _, test := range []struct {
		name  string
		price int
		want  bool
	}{
		{"a cup", 2, true},
		{"a house", 200, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if Cheap(test.price) != test.want {
				t.Error("not what it costs")
			}
		})
	}
}

func TestCount(t *testing.T) {
	if Count(3) != 3 {
		t.Error("not three")
	}
}

func TestLog(t *testing.T) {
	Log(new([]string), "said")
}
