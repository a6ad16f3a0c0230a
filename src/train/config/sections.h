#pragma once
// The readers of the configuration's sections. Each fills its part of the configuration, adds
// notes, and throws InputError on what is wrong within the section; check_sections compares them.

#include "train/config/train_config.h"
#include "yaml/fields.h"

namespace dms::train::config {

void read_model_section(yaml::Fields fields, TrainConfig& config);
void read_dms_section(yaml::Fields fields, TrainConfig& config);
void read_data_section(yaml::Fields fields, TrainConfig& config);
void read_trainer_section(yaml::Fields fields, TrainConfig& config);

/// `root` is the view of the whole document, for the places in errors.
void check_sections(yaml::Fields& root, TrainConfig& config);

/// data.datasets.NAME.
DatasetSection read_dataset(yaml::Fields fields, const std::string& name);
/// data.blend, "A:0.5,B:0.5": names that `datasets` declares, each with a positive weight.
std::vector<BlendPart> read_blend(yaml::Fields& data,
                                  const std::map<std::string, DatasetSection>& datasets);

}  // namespace dms::train::config
