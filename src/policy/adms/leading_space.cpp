#include "policy/adms/leading_space.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <iterator>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.h"

namespace dms::policy {
namespace {

using Doubles = kernels::SmallMatrix<double>;

/// An implicit QL step on rows [first, last] of T, on its way from the last to the first.
struct Sweep {
  double* d;  // diagonal of T
  double* e;  // subdiagonal
  double* cosines;
  double* sines;
  int64_t first = 0;
  int64_t last = 0;
  int64_t i = 0;  // rows from it on are done
  double g = 0.0;
  double cos = 1.0;
  double sin = 1.0;
  double p = 0.0;

  /// Rotates rows i - 1 and i. Whether there are more to rotate.
  bool rotate() {
    const double f = sin * e[i - 1];
    const double b = cos * e[i - 1];
    const double square = f * f + g * g;
    if (square < kernels::kNoSquare) {  // splits here
      e[i] = 0.0;
      return false;
    }
    const double r = std::sqrt(square);
    const double inverse = r * (1.0 / square);  // neither waits for the other
    e[i] = r;
    sin = f * inverse;
    cos = g * inverse;
    g = d[i] - p;
    const double q = (d[i - 1] - g) * sin + 2.0 * cos * b;
    p = sin * q;
    d[i] = g + p;
    g = cos * q - b;
    --i;
    cosines[i] = cos;
    sines[i] = sin;
    return i > first;
  }
};

/// Makes T diagonal from its first row on, until the largest eigenvalues are told from the rest.
class QlSteps {
 public:
  /// Without a form there is nothing to do.
  void begin(kernels::Tridiagonal* form, int64_t rank) {
    form_ = form;
    if (form == nullptr) return;
    others_ = rows() - rank;
    done_ = 0;
    steps_ = 0;
    nothing_ = 0.0;
    for (int64_t i = 0; i < rows(); ++i)
      nothing_ = std::max(nothing_, std::abs(d(i)) + std::abs(e(i)));
    nothing_ *= std::numeric_limits<double>::epsilon();
    cosines_.resize(form->diagonal.size());
    sines_.resize(form->diagonal.size());
  }

  bool has_begun() const { return form_ != nullptr; }

  /// The next step; nothing: they are told apart.
  std::optional<Sweep> next() {
    constexpr int64_t kMostSteps = 40;  // of an eigenvalue; two or three suffice
    while (form_ != nullptr && (done_ < others_ || (done_ < rows() && !is_split()))) {
      const int64_t last = end_of_part();
      if (last > done_ && steps_ < kMostSteps) {
        ++steps_;
        return sweep(last);
      }
      ++done_;  // the eigenvalue is alone in its row
      steps_ = 0;
    }
    return std::nullopt;
  }

  void end(const Sweep& sweep) {
    d(sweep.i) -= sweep.p;
    if (sweep.i == sweep.first) e(sweep.first) = sweep.g;
    e(sweep.last) = 0.0;
    kernels::rotate_rows(form_->columns, sweep.i, sweep.last - sweep.i, cosines_, sines_);
  }

  /// Of the largest eigenvalues.
  std::vector<int64_t> leading_rows() const {
    std::vector<int64_t> found(form_->diagonal.size());
    std::iota(found.begin(), found.end(), int64_t{0});
    std::ranges::stable_sort(
        found.begin(), found.begin() + done_, std::less(), [&](int64_t i) { return d(i); });
    found.erase(found.begin(), found.begin() + others_);
    return found;
  }

 private:
  double& d(int64_t i) { return form_->diagonal[static_cast<size_t>(i)]; }
  double& e(int64_t i) { return form_->subdiagonal[static_cast<size_t>(i)]; }
  double d(int64_t i) const { return form_->diagonal[static_cast<size_t>(i)]; }
  double e(int64_t i) const { return form_->subdiagonal[static_cast<size_t>(i)]; }
  int64_t rows() const { return std::ssize(form_->diagonal); }

  /// Whether those not done are all above the smallest `others_` of those that are.
  bool is_split() const {
    std::vector<double> values(form_->diagonal.begin(), form_->diagonal.begin() + done_);
    const auto border = values.begin() + others_ - 1;
    std::ranges::nth_element(values, border);
    // The pivots of what is left less the border are positive, as its eigenvalues are.
    double pivot = 1.0;
    for (int64_t i = done_; i < rows(); ++i) {
      const double coupling = i == done_ ? 0.0 : e(i - 1) * e(i - 1);
      pivot = d(i) - *border - coupling / pivot;
      if (!(pivot > 0.0)) return false;
    }
    return true;
  }

  int64_t end_of_part() const {
    int64_t last = done_;
    while (last + 1 < rows() && !(std::abs(e(last)) <= nothing_)) ++last;
    return last;
  }

  Sweep sweep(int64_t last) {
    const int64_t first = done_;
    const double half = (d(first + 1) - d(first)) / (2.0 * e(first));
    const double root = std::copysign(std::sqrt(half * half + 1.0), half);
    return {.d = form_->diagonal.data(),
            .e = form_->subdiagonal.data(),
            .cosines = cosines_.data(),
            .sines = sines_.data(),
            .first = first,
            .last = last,
            .i = last,
            .g = d(last) - d(first) + e(first) / (half + root)};
  }

  kernels::Tridiagonal* form_ = nullptr;
  int64_t others_ = 0;
  int64_t done_ = 0;   // rows
  int64_t steps_ = 0;  // for the next one
  // What is not told from 0 beside the largest numbers of T, whose rounding it is: eigenvalues are
  // as exact as T is.
  double nothing_ = 0.0;
  std::vector<double> cosines_;
  std::vector<double> sines_;
};

/// Until the first of both ends. Whether each has more to rotate.
std::pair<bool, bool> rotate_both(Sweep& a, Sweep& b) {
  Sweep x = a;  // in registers: nobody else knows them
  Sweep y = b;
  bool x_goes_on = true;
  bool y_goes_on = true;
  while (x_goes_on && y_goes_on) {
    x_goes_on = x.rotate();
    y_goes_on = y.rotate();
  }
  a = x;
  b = y;
  return {x_goes_on, y_goes_on};
}

void rotate_to_end(Sweep& a) {
  Sweep x = a;
  while (x.rotate()) {
  }
  a = x;
}

void take_steps(QlSteps& a, QlSteps& b) {
  std::optional<Sweep> of_a = a.next();
  std::optional<Sweep> of_b = b.next();
  while (of_a && of_b) {
    const auto [a_goes_on, b_goes_on] = rotate_both(*of_a, *of_b);
    if (!a_goes_on) {
      a.end(*of_a);
      of_a = a.next();
    }
    if (!b_goes_on) {
      b.end(*of_b);
      of_b = b.next();
    }
  }
  QlSteps& left = of_a ? a : b;
  for (std::optional<Sweep> sweep = of_a ? of_a : of_b; sweep; sweep = left.next()) {
    rotate_to_end(*sweep);
    left.end(*sweep);
  }
}

/// Of absolute values, in chains that become vectors.
double sum_of(const Doubles& matrix) {
  constexpr int64_t kChains = 8;  // of which a row's end is a multiple
  std::array<double, kChains> chains{};
  const double* numbers = matrix.data();
  for (int64_t i = 0; i < matrix.rows() * matrix.stride(); i += kChains, numbers += kChains) {
    for (size_t chain = 0; chain < kChains; ++chain) chains[chain] += std::abs(numbers[chain]);
  }
  return std::accumulate(chains.begin(), chains.end(), 0.0);
}

/// The way of one matrix. Kept by each thread.
struct Split {
  Doubles reversed;
  kernels::Tridiagonal form;
  QlSteps steps;

  void begin(const SpaceRequest& request) {
    const Doubles& matrix = request.matrix;
    const int64_t n = matrix.rows();
    ensure(request.rank >= 0 && request.rank <= n, "no more directions than there are");
    steps.begin(nullptr, 0);
    // Squares of the largest and smallest numbers would not be numbers.
    const double scale = sum_of(matrix);
    if (request.rank == n || !std::isnormal(scale)) return;
    // QL steps want what is large last, and a block's largest directions come first: the other way
    // round a tenth of the rotations is saved.
    const double inverse = 1.0 / scale;
    reversed.resize(n, n);
    for (int64_t i = 0; i < n; ++i) {
      std::transform(matrix.row(n - 1 - i),
                     matrix.row(n - 1 - i) + n,
                     std::reverse_iterator(reversed.row(i) + n),
                     [&](double number) { return number * inverse; });
    }
    kernels::tridiagonalise(reversed, form);
    steps.begin(&form, request.rank);
  }

  void write(const SpaceRequest& request) const {
    const int64_t n = request.matrix.rows();
    Doubles& space = request.space;
    space.reset(request.rank, n);
    if (!steps.has_begun()) {
      for (int64_t i = 0; i < request.rank; ++i) space.at(i, i) = 1.0;
      return;
    }
    const std::vector<int64_t> rows = steps.leading_rows();
    for (int64_t i = 0; i < request.rank; ++i) {
      const double* row = form.columns.row(rows[static_cast<size_t>(i)]);
      std::reverse_copy(row, row + n, space.row(i));
    }
  }
};

}  // namespace

void leading_spaces(const SpaceRequest& a, const SpaceRequest& b) {
  thread_local Split of_a;
  thread_local Split of_b;
  of_a.begin(a);
  of_b.begin(b);
  take_steps(of_a.steps, of_b.steps);
  of_a.write(a);
  of_b.write(b);
}

}  // namespace dms::policy
