#pragma once
// Places for the texts of a chart beside its points, where they cover neither each other nor marks
// nor lines.

#include <optional>
#include <vector>

namespace dms::report {

/// In the SVG's units, downwards.
struct ChartBox {
  double left = 0;
  double top = 0;
  double right = 0;
  double bottom = 0;
};

struct ChartLine {
  double x1 = 0;
  double y1 = 0;
  double x2 = 0;
  double y2 = 0;
};

struct LabelPlace {
  double left = 0;
  double baseline = 0;
  double width = 0;
  bool is_apart = false;  // not next to its point: something should lead there
};

class LabelPlaces {
 public:
  explicit LabelPlaces(const ChartBox& bounds) : bounds_(bounds) {}

  void add_mark(double x, double y);
  void add_line(const ChartLine& line) { lines_.push_back(line); }

  /// Next to a point. Nothing where there is no room.
  std::optional<LabelPlace> beside(double x, double y, double width) const;
  /// The same, or else farther above or below; over lines and marks where nothing else is left.
  LabelPlace near(double x, double y, double width) const;
  /// Is not free from now on.
  void take(const LabelPlace& place);

 private:
  enum class Over { nothing, lines, all_but_labels };

  bool is_free(const LabelPlace& place, Over over) const;

  ChartBox bounds_;
  std::vector<ChartBox> marks_;
  std::vector<ChartBox> labels_;
  std::vector<ChartLine> lines_;
};

}  // namespace dms::report
