#pragma once
// The words of recall tasks. {key} and {value} are a fact's; {thing} is number or uuid.

#include <array>
#include <string_view>

namespace dms::tasks {

struct RecallPhrases {
  std::string_view intro_one;   // before a text with one fact; may be empty
  std::string_view intro_many;  // with several
  std::string_view fact;
  std::string_view question;
  std::string_view answer;  // up to the value; a full stop follows it
};

/// The first one is RULER's.
inline constexpr std::array<RecallPhrases, 5> kRecallPhrases{{
    {"A special magic {thing} is hidden within the following text. Make sure to memorize it. I "
     "will quiz you about the {thing} afterwards.\n",
     "Some special magic {thing}s are hidden within the following text. Make sure to memorize it. "
     "I will quiz you about the {thing}s afterwards.\n",
     "One of the special magic {thing}s for {key} is: {value}.",
     "What is the special magic {thing} for {key} mentioned in the provided text?",
     " The special magic {thing} for {key} mentioned in the provided text is"},
    {"",
     "",
     "One of the special magic {thing}s for {key} is: {value}.",
     "What is the special magic {thing} for {key}?",
     " The special magic {thing} for {key} is"},
    {"Read the text below and remember the {thing} in it.\n",
     "Read the text below and remember the {thing}s in it.\n",
     "The special {thing} for {key} is {value}.",
     "Which special {thing} does the text give for {key}?",
     " The special {thing} that the text gives for {key} is"},
    {"",
     "",
     "Remember that the {thing} of {key} is {value}.",
     "Question: what is the {thing} of {key}?\nAnswer:",
     " The {thing} of {key} is"},
    {"",
     "",
     "{key} has the secret {thing} {value}.",
     "What is the secret {thing} of {key}?",
     " The secret {thing} of {key} is"},
}};

/// What RULER repeats where it wants text without content.
inline constexpr std::string_view kRecallNoise =
    "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.\n";

/// A key is ADJECTIVE-NOUN.
inline constexpr std::array<std::string_view, 96> kAdjectives{
    "able",   "amber",   "ancient", "angry",  "autumn",   "bitter",  "black",    "blue",   "bold",
    "brave",  "bright",  "broad",   "broken", "calm",     "careful", "cheerful", "clever", "cold",
    "common", "crooked", "curious", "damp",   "dark",     "deep",    "distant",  "dry",    "eager",
    "early",  "easy",    "elegant", "empty",  "even",     "faint",   "famous",   "fancy",  "fast",
    "fierce", "flat",    "foolish", "fresh",  "friendly", "gentle",  "giant",    "golden", "grand",
    "gray",   "green",   "happy",   "heavy",  "hidden",   "high",    "hollow",   "honest", "humble",
    "idle",   "jolly",   "keen",    "kind",   "large",    "late",    "light",    "lively", "lonely",
    "loud",   "lucky",   "merry",   "mighty", "modern",   "muddy",   "narrow",   "noble",  "odd",
    "old",    "pale",    "patient", "plain",  "polite",   "proud",   "quick",    "quiet",  "rapid",
    "rare",   "red",     "rough",   "round",  "rusty",    "sharp",   "silent",   "silver", "slow",
    "smooth", "steep",   "strange", "sweet",  "tall",     "wild"};

inline constexpr std::array<std::string_view, 96> kNouns{
    "anchor", "apple",   "arrow",   "badge",    "barn",   "basket",  "beacon", "bell",   "bench",
    "bird",   "blanket", "boat",    "bottle",   "bridge", "bucket",  "butter", "cabin",  "candle",
    "carpet", "castle",  "chain",   "cherry",   "circle", "clock",   "cloud",  "coat",   "compass",
    "copper", "corner",  "cottage", "cradle",   "crown",  "desert",  "donkey", "door",   "drum",
    "eagle",  "engine",  "feather", "fence",    "field",  "flag",    "flute",  "forest", "fountain",
    "garden", "glove",   "hammer",  "harbor",   "hill",   "horn",    "horse",  "island", "jacket",
    "kettle", "kitchen", "ladder",  "lake",     "lamp",   "lantern", "lemon",  "letter", "marble",
    "market", "meadow",  "mirror",  "mountain", "needle", "nest",    "oak",    "orange", "owl",
    "paper",  "pebble",  "pencil",  "piano",    "pillow", "pocket",  "rabbit", "ribbon", "river",
    "road",   "saddle",  "salt",    "shadow",   "ship",   "spoon",   "stone",  "table",  "ticket",
    "tower",  "valley",  "violin",  "wagon",    "window", "winter"};

}  // namespace dms::tasks
