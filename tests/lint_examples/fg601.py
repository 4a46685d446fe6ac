"""Examples of FG601: weights in another file, where they should be and where they should not."""

import hashlib

from onnx import TensorProto

from tests.graph_texts import FLOAT, graph

DATA = FLOAT.tobytes()
SHA1 = hashlib.sha1(DATA, usedforsecurity=False).hexdigest()


def model_at(folder, location="w.bin", **fields):
    """Open a step whose product reads `w` from another file; fields: offset, length, checksum."""

    def move(model):
        tensor = next(item for item in model.graph.initializer if item.name == "w")
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        told = {"location": location, "length": len(DATA), "checksum": SHA1, **fields}
        for key, said in told.items():
            if said is not None:
                tensor.external_data.add(key=key, value=str(said))

    home = folder / "model"
    home.mkdir(exist_ok=True)
    return graph(home, edit=move)


def put(folder, name="w.bin", data=DATA):
    path = folder / "model" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def passing(folder):
    put(folder)
    return model_at(folder)


def passing_in_a_folder_below(folder):
    put(folder, "data/w.bin")
    return model_at(folder, "data/w.bin", length=None)


def failing(folder):
    """The file is there, one folder above."""
    (folder / "w.bin").write_bytes(DATA)
    return model_at(folder, "../w.bin")


def failing_by_going_up_on_the_way(folder):
    put(folder)
    (folder / "model" / "data").mkdir()
    return model_at(folder, "data/../w.bin")


def failing_as_an_absolute_path(folder):
    return model_at(folder, str(put(folder)))


def failing_as_a_windows_path(folder):
    return model_at(folder, "C:\\models\\w.bin")


def failing_without_a_name(folder):
    return model_at(folder, "")


def failing_behind_a_link(folder):
    (folder / "w.bin").write_bytes(DATA)
    put(folder).unlink()
    (folder / "model" / "w.bin").symlink_to(folder / "w.bin")
    return model_at(folder)


def failing_behind_a_linked_folder(folder):
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "w.bin").write_bytes(DATA)
    put(folder)
    (folder / "model" / "data").symlink_to(folder / "elsewhere")
    return model_at(folder, "data/w.bin")


def failing_with_a_second_name(folder):
    (folder / "w.bin").write_bytes(DATA)
    put(folder).unlink()
    (folder / "model" / "w.bin").hardlink_to(folder / "w.bin")
    return model_at(folder)


def failing_as_a_folder(folder):
    put(folder, "w.bin/inside")
    return model_at(folder)


def failing_where_it_is_missing(folder):
    return model_at(folder)


def failing_where_it_is_too_short(folder):
    put(folder, data=DATA[:-1])
    return model_at(folder, checksum=None)


def failing_with_an_offset_past_its_end(folder):
    put(folder)
    return model_at(folder, offset=4, checksum=None)


def failing_with_a_negative_offset(folder):
    put(folder)
    return model_at(folder, offset=-4)


def failing_with_the_length_of_another_tensor(folder):
    put(folder, data=DATA * 2)
    return model_at(folder, length=2 * len(DATA), checksum=None)


def failing_with_another_file_than_was_pinned(folder):
    put(folder, data=bytes(len(DATA)))
    return model_at(folder)
