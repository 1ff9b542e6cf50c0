"""The sixty traps that FTP servers set, and the test that shows what Ferry does in each; most have several tests."""

import ast
import re
from pathlib import Path

# Number of the trap -> module.test
TRAPS = {
    1: "test_traps_manager.test_trap_01_a_226_for_a_short_file_is_not_believed",
    2: "test_traps_manager.test_trap_01_02_an_upload_cut_on_the_way_never_gets_its_name_short",
    3: "test_traps_manager.test_trap_03_a_name_that_the_server_keeps_locked_is_left_for_a_fresh_one",
    4: "test_traps_manager.test_trap_04_a_temp_file_that_the_server_removed_starts_over_under_a_fresh_name",
    5: "test_traps_control.test_trap_05_nothing_is_sent_between_a_transfer_and_its_final_reply",
    6: "test_traps_control.test_trap_06_a_server_that_drops_flights_gets_one_command_at_a_time_and_that_is_remembered",
    7: "test_traps_control.test_trap_07_a_reply_in_clear_behind_auth_is_discarded_and_nothing_follows",
    8: "test_traps_control.test_trap_08_a_greeting_of_230_is_a_login_in_plain_mode",
    9: "test_traps_control.test_trap_09_a_user_without_password_is_logged_in",
    10: "test_traps_control.test_trap_10_a_nonsense_class_is_an_error_of_its_step",
    11: "test_traps_control.test_trap_11_too_many_users_passes",
    12: "test_traps_control.test_trap_12_421_at_any_time_is_back_off_and_the_next_session_goes_on",
    13: "test_traps_control.test_trap_13_only_the_same_code_and_a_space_end_a_reply",
    14: "test_traps_control.test_trap_14_a_long_line_is_cut_and_a_long_reply_too",
    15: "test_traps_control.test_trap_15_control_bytes_do_no_harm_and_pwd_is_never_asked",
    16: "test_traps_control.test_trap_16_another_service_on_the_port_is_called_that",
    17: "test_traps_data.test_trap_17_epsv_refused_is_pasv_from_then_on",
    18: "test_traps_data.test_trap_18_an_epsv_port_that_cannot_be_reached_is_pasv_from_then_on",
    19: "test_traps_data.test_trap_19_a_229_that_cannot_be_read_is_pasv_in_the_next_session",
    20: "test_traps_data.test_trap_20_the_six_numbers_of_a_227_are_found_anywhere",
    21: "test_traps_data.test_trap_21_the_address_in_a_227_is_not_used",
    22: "test_traps_data.test_trap_22_epsv_all_is_never_sent_so_pasv_stays_possible",
    23: "test_traps_data.test_trap_23_pret_is_sent_to_a_server_that_demands_it",
    24: "test_traps_data.test_trap_24_a_download_on_which_nothing_comes_is_given_up",
    25: "test_traps_data.test_trap_25_150_without_data_is_tried_again_and_points_at_the_data_path",
    26: "test_traps_data.test_trap_26_a_226_before_the_data_does_not_end_the_download",
    27: "test_traps_manager.test_trap_27_29_an_upload_whose_226_never_comes_is_measured_in_a_new_session",
    28: "test_traps_data.test_trap_28_any_1xx_begins_and_any_2xx_ends_a_transfer",
    29: "test_traps_data.test_trap_29_control_that_ends_behind_the_data_is_no_proof",
    30: "test_traps_data.test_trap_30_a_download_without_announced_size_ends_at_the_end",
    31: "test_traps_data.test_trap_31_text_behind_the_size_is_ignored",
    32: "test_traps_data.test_trap_32_mdtm_is_an_opaque_text",
    33: "test_traps_manager.test_trap_33_a_file_that_changes_size_while_it_comes_is_not_put_in_place",
    34: "test_traps_data.test_trap_34_a_restart_beyond_the_end_is_an_error_or_nothing",
    35: "test_traps_data.test_trap_35_a_refused_rest_is_told_to_whoever_asked_for_it",
    36: "test_traps_manager.test_trap_36_whatever_rest_before_stor_does_the_file_is_whole_in_the_end",
    37: "test_traps_manager.test_trap_37_a_server_that_refuses_appe_gets_the_whole_file",
    38: "test_traps_data.test_trap_38_59_a_refusal_is_read_though_the_server_has_closed_its_data_port",
    39: "test_traps_manager.test_trap_39_a_server_that_does_not_overwrite_gets_the_old_file_out_of_the_way",
    40: "test_traps_manager.test_trap_40_a_drop_box_gets_files_under_their_final_names_and_no_questions",
    41: "test_traps_manager.test_trap_41_folders_are_made_one_by_one_and_once",
    42: "test_traps_manager.test_trap_42_paths_are_relative_and_nobody_asks_where_we_are",
    43: "test_traps_manager.test_trap_43_temp_names_have_no_leading_dot_and_fit",
    44: "test_traps_manager.test_trap_44_an_empty_listing_is_no_error",
    45: "test_traps_manager.test_trap_45_without_mlsd_names_and_sizes_do_and_list_is_never_used",
    46: "test_traps_manager.test_trap_46_mlsd_facts_are_read_in_any_case_and_the_folder_itself_is_left_out",
    47: "test_traps_control.test_trap_47_feat_is_read_in_its_variants",
    48: "test_traps_control.test_trap_48_a_name_that_is_not_utf8_is_left_out_and_said",
    49: "test_traps_control.test_trap_49_every_session_asks_for_type_i",
    50: "test_traps_control.test_trap_50_a_greeting_that_drips_is_awaited",
    51: "test_traps_control.test_trap_51_auth_refused_is_said_and_nothing_goes_in_clear",
    52: "test_traps_control.test_trap_52_pbsz_comes_before_prot_which_says_what_was_configured",
    53: "test_traps_control.test_trap_53_session_reuse_names_the_setting_of_the_server",
    54: "test_traps_manager.test_trap_54_a_false_alarm_is_settled_by_the_size",
    55: "test_traps_control.test_trap_55_the_pin_is_compared_and_no_clock_is_needed",
    56: "test_traps_control.test_trap_56_no_connection_stays_open_between_cycles",
    57: "test_traps_control.test_trap_57_every_address_of_a_name_is_tried",
    58: "test_traps_manager.test_trap_58_a_link_that_dies_costs_the_session_and_not_what_has_arrived",
    59: "test_traps_data.test_trap_59_a_missing_file_leaves_no_data_connection_behind",
    60: "test_check.test_trap_60_one_hop_is_wrong_and_only_that_is_called_so",
}


def named_after_traps():
    """Number of a trap -> the tests named after it, "test_trap_27_29_..." counts for both."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_trap_"):
                numbers = re.match(r"test_trap((?:_\d\d)+)_", node.name)[1]
                for number in re.findall(r"\d\d", numbers):
                    found.setdefault(int(number), []).append(f"{path.stem}.{node.name}")
    return found


def test_every_trap_has_a_test():
    assert sorted(TRAPS) == list(range(1, 61))


def test_every_test_in_the_list_exists_and_is_of_its_trap():
    found = named_after_traps()
    assert {number: test for number, test in TRAPS.items() if test not in found.get(number, [])} == {}
